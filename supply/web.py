"""The viewer's pages: built by npm from the locked packages, from the registry that this machine's npm is configured for.

Node comes from Debian's packages in an image of its own, so that neither its version nor its absence on this machine matters.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import docker
import docker.errors

from supply import cache as caches
from supply import commands, debian, keys, registry
from supply.cache import Cache
from supply.errors import Say, SupplyError
from supply.recipe import WebPages

NAME = "node"
# The first suite whose Node is new enough for the build (20.19).
SUITE = "trixie"
PACKAGES = ("base-files", "ca-certificates", "coreutils", "dash", "libc-bin", "nodejs", "npm")
REFRESHED = "2026-11-22"
COST_MB = 1500
BUILD_SECONDS = 600
# How npm on this machine reaches its registry: settings, proxies, and authorities that it trusts.
PASSED_ON = ("npm_config_", "NPM_CONFIG_", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
CERTIFICATES = Path("/etc/ssl/certs")
SETTINGS = {"userconfig": Path.home() / ".npmrc", "globalconfig": Path("/etc/npmrc")}


def build(name: str, pages: WebPages, client: docker.DockerClient, cache: Cache, say: Say) -> Path:
    """A folder with the built pages; from the cache unless their sources have changed.

    Raises:
        SupplyError: when a source is missing, or npm fails.
    """
    built = location(name, pages, cache)
    if built.exists():
        caches.use(built)
        return built
    with cache.writing(built) as scratch:
        source = scratch.with_suffix(".source")
        for file, path in keys.web_files(pages).items():
            target = source / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        run(name, source, "npm ci && npm run build", client, cache, say)
        shutil.move(source / "dist", scratch)
        caches.remove(source)
    cache.prune(name, "web-")
    return built


def location(name: str, pages: WebPages, cache: Cache) -> Path:
    """Where `build` puts, or has put, the pages."""
    return cache.artifact(name, f"web-{keys.web_key(pages)}")


def run(name: str, folder: Path, script: str, client: docker.DockerClient, cache: Cache, say: Say, *, below: str = "") -> None:
    """Run a shell script in a folder, or below it, with Node and npm at hand, as the user who calls; it sees nothing else.

    Raises:
        SupplyError: when the image cannot be made, or the script fails; names the log.
    """
    image = ensure_node(client, cache, say)
    command: list[str | Path] = ["docker", "run", "--rm", "--init", "--network", "host", "--userns", "host"]
    command += ["--user", f"{os.getuid()}:{os.getgid()}", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    command += ["--volume", f"{folder}:/work", "--workdir", f"/work/{below}", "--volume", f"{cache.folder('npm')}:/npm"]
    # As root, npm gives what it unpacks to the folder's owner.
    command += ["--cap-add", "CHOWN", "--cap-add", "DAC_OVERRIDE", "--cap-add", "FOWNER"] if os.getuid() == 0 else []
    for setting, value in _environment().items():
        command += ["--env", f"{setting}={value}"]
    for setting, path in SETTINGS.items():
        if path.is_file():
            command += ["--volume", f"{path}:/npm-{setting}:ro", "--env", f"npm_config_{setting}=/npm-{setting}"]
    if CERTIFICATES.is_dir():
        command += ["--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro"]
        bundle = CERTIFICATES / "ca-certificates.crt"
        command += ["--env", f"NODE_EXTRA_CA_CERTS={bundle}"] if bundle.is_file() else []
    command += [image, "sh", "-ec", script]
    commands.run(command, what=f"{name}: npm", log=cache.log(f"{name}-npm"), say=say, timeout_seconds=BUILD_SECONDS)


def _environment() -> dict[str, str]:
    passed = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
    return {"HOME": "/tmp", "npm_config_cache": "/npm", "CI": "1", **passed}  # noqa: S108 - of the container


def ensure_node(client: docker.DockerClient, cache: Cache, say: Say) -> str:
    """The image with Node and npm of Debian, made unless it is there.

    Raises:
        SupplyError: when mmdebstrap or Docker is missing, or a mirror cannot be reached.
    """
    reference = f"crowsnest/{NAME}:{keys.packages_key(SUITE, PACKAGES, REFRESHED)}"
    try:
        client.images.get(reference)
    except docker.errors.ImageNotFound:
        cache.require_space(NAME, COST_MB)
        say(f"{NAME}: unpacking Debian's Node and npm (first time about 60 s)")
        tar = cache.folder("tmp") / f"{NAME}.tar"
        debian.unpack(SUITE, PACKAGES, tar, epoch=0, name=NAME, cache=cache, say=say)
        repository, _, tag = reference.rpartition(":")
        try:
            client.api.import_image(src=str(tar), repository=repository, tag=tag, changes=["ENV PATH=/usr/bin"])
            client.images.get(reference)
        except docker.errors.DockerException as error:
            raise SupplyError(f"{reference}: Docker cannot import the image ({registry.explain(error)})") from error
        finally:
            caches.remove(tar)
    return reference
