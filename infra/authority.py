"""The gateway's own authority: its root certificate, which people's machines have to trust."""

from __future__ import annotations

import io
import tarfile

import docker
from docker.errors import NotFound

from infra import gateway
from infra.catalogue import catalogue
from infra.errors import Failed, Refused
from infra.settings import Settings

# Where Caddy keeps it, below its data folder; the key beside it never leaves the machine.
ROOT = "pki/authorities/local/root.crt"


def root_certificate(client: docker.DockerClient, settings: Settings) -> str:
    """The certificate in PEM, as the running gateway has it.

    Raises:
        Refused: the stack has no gateway, or one whose certificates are of a public authority.
        Failed: the gateway does not run, or has not made it yet.
    """
    if settings.pipelines.gateway is None:
        raise Refused(f"stack {settings.stack} has no gateway; its file names the pipelines")
    if settings.pipelines.gateway.domain:
        raise Refused(
            "this gateway's certificate comes from an authority that machines trust already; there is none to hand out"
        )
    component = catalogue()[gateway.NAME]
    name = settings.container_name(component)
    try:
        chunks, _ = client.api.get_archive(name, f"{component.data}/{ROOT}")
    except NotFound:
        raise Failed(f"{name} does not run or has no authority yet; run `make up STACK={settings.stack}`") from None
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        member = archive.extractfile(archive.getmembers()[0])
        assert member is not None  # noqa: S101 - a file was asked for
        return member.read().decode("ascii")
