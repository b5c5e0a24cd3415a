"""The provider's gRPC service: the engine's requests go to the resources, and their failures become clear statuses."""

# ruff: noqa: ARG002, D102, N802  (the methods have the names and signatures of the generated service)

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable, Mapping
from concurrent import futures
from typing import Any, TypeVar

import grpc
from google.protobuf import any_pb2, empty_pb2
from google.rpc import status_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from supply.docker_provider import differ, schema, wire
from supply.docker_provider.errors import InitFailed, ProviderError
from supply.docker_provider.resource import Resource
from supply.docker_provider.schema import Change, Schema

VERSION = "5.2.0"
"""The version of `pulumi_docker` whose property names are spoken here."""
DEFAULT_HOST = "unix:///var/run/docker.sock"
WORKERS = 32
"""Requests answered at the same time: waiting for one container must not delay another."""
MESSAGE_BYTES = 400 * 1024 * 1024
SCHEMAS: Mapping[str, Schema] = {
    "docker:index/container:Container": schema.CONTAINER,
    "docker:index/network:Network": schema.NETWORK,
    "docker:index/volume:Volume": schema.VOLUME,
    "docker:index/remoteImage:RemoteImage": schema.REMOTE_IMAGE,
}
_ENGINE_OPTIONS = frozenset({"version", "pluginDownloadURL"})
_KINDS = provider_pb2.PropertyDiff
_Answer = TypeVar("_Answer")


def serve(stopped: threading.Event, announce: Callable[[int], None]) -> None:
    """Serve on a free local port, told to `announce`, until `stopped` is set."""
    provider = DockerProvider()
    options = [("grpc.max_send_message_length", MESSAGE_BYTES), ("grpc.max_receive_message_length", MESSAGE_BYTES)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=WORKERS), options=options)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    announce(port)
    stopped.wait()
    provider.cancelled.set()
    server.stop(grace=1).wait()


def _answers(method: Callable[..., _Answer]) -> Callable[..., _Answer]:
    """End the request with a status the engine understands when the method fails."""

    @functools.wraps(method)
    def answer(self: DockerProvider, request: Any, context: grpc.ServicerContext) -> _Answer:
        try:
            return method(self, request, context)
        except InitFailed as failed:
            context.abort_with_status(_init_failed(failed))
        except ProviderError as error:
            context.abort(grpc.StatusCode.UNKNOWN, str(error))
        except ValueError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except OSError as error:  # the client's own errors, all of which derive from it
            context.abort(grpc.StatusCode.UNKNOWN, self.explain(error))
        raise AssertionError("abort raises")

    return answer


class DockerProvider(provider_pb2_grpc.ResourceProviderServicer):
    """One provider process: configured once, then asked for many resources at the same time."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self._host = DEFAULT_HOST
        self._resources: dict[str, Resource] = {}

    def explain(self, error: Exception) -> str:
        from supply.docker_provider.daemon import explain  # see Configure

        return explain(error, self._host)

    # --- the process ---------------------------------------------------------------------------------------------

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=False)

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        return plugin_pb2.PluginInfo(version=VERSION)

    def Attach(self, request: Any, context: grpc.ServicerContext) -> Any:
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.cancelled.set()
        return empty_pb2.Empty()

    def GetSchema(self, request: Any, context: grpc.ServicerContext) -> Any:
        """The names of what there is; programs take their types from `pulumi_docker`."""
        resources: dict[str, Any] = {
            token: {"inputProperties": {name: {} for name in known.inputs}} for token, known in SCHEMAS.items()
        }
        return provider_pb2.GetSchemaResponse(schema=json.dumps({"name": "docker", "version": VERSION, "resources": resources}))

    # --- the provider's own configuration ------------------------------------------------------------------------

    @_answers
    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        inputs = wire.to_python(request.news)
        failures = [
            provider_pb2.CheckFailure(
                property=name,
                reason=f"provider input {name} would be ignored: this provider only takes host, a unix:// or tcp:// address",
            )
            for name in inputs
            if name not in {"host", *_ENGINE_OPTIONS}
        ]
        host = inputs.get("host", DEFAULT_HOST)
        if not wire.has_unknown(host) and not str(host).startswith(("unix://", "tcp://")):
            reason = f"host {host!r} must begin with unix:// or tcp://; run Pulumi on the Docker host itself"
            failures.append(provider_pb2.CheckFailure(property="host", reason=reason))
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    @_answers
    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        old, new = wire.to_python(request.olds), wire.to_python(request.news)
        changed = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
        return provider_pb2.DiffResponse(changes=_some(changed), diffs=changed)

    @_answers
    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Connect to the daemon, unless a preview does not know yet where it is."""
        # The Docker client takes longer to load than all the rest, and the engine waits for the port.
        from supply.docker_provider.container import Container
        from supply.docker_provider.daemon import connect
        from supply.docker_provider.image import RemoteImage
        from supply.docker_provider.network import Network
        from supply.docker_provider.volume import Volume

        host = wire.to_python(request.args).get("host", DEFAULT_HOST)
        if not wire.has_unknown(host):
            self._host = host
            daemon = connect(host)
            self._resources = {
                "docker:index/container:Container": Container(daemon, self.cancelled),
                "docker:index/network:Network": Network(daemon),
                "docker:index/volume:Volume": Volume(daemon),
                "docker:index/remoteImage:RemoteImage": RemoteImage(daemon),
            }
        return provider_pb2.ConfigureResponse(supportsPreview=True, acceptSecrets=False)

    # --- resources -----------------------------------------------------------------------------------------------

    @_answers
    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:
        inputs = wire.to_python(request.news)
        failures = _schema(request).check(inputs)
        return provider_pb2.CheckResponse(
            inputs=wire.to_struct(inputs),
            failures=[provider_pb2.CheckFailure(property=item.property, reason=item.reason) for item in failures],
        )

    @_answers
    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:
        known = _schema(request)
        old, new = _old_inputs(request), wire.to_python(request.news)
        changed = differ.changes(known, old, new)
        replaces = [name for name, change in changed.items() if change is Change.REPLACE]
        return provider_pb2.DiffResponse(
            changes=_some(changed),
            diffs=list(changed),
            replaces=replaces,
            deleteBeforeReplace=bool(replaces) and known.delete_before_replace,
            hasDetailedDiff=True,
            detailedDiff={
                name: provider_pb2.PropertyDiff(kind=_kind(name, old, new, change), inputDiff=True)
                for name, change in changed.items()
            },
        )

    @_answers
    def Create(self, request: Any, context: grpc.ServicerContext) -> Any:
        inputs = wire.to_python(request.properties)
        if request.preview:
            unknown = dict.fromkeys(_schema(request).outputs, wire.UNKNOWN)
            return provider_pb2.CreateResponse(properties=wire.to_struct({**inputs, **unknown}))
        found = self._resource(request).create(inputs, request.timeout)
        return provider_pb2.CreateResponse(id=found.id, properties=wire.to_struct(found.state))

    @_answers
    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:
        found = self._resource(request).read(request.id, wire.to_python(request.inputs))
        if found is None:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(
            id=found.id, properties=wire.to_struct(found.state), inputs=wire.to_struct(found.inputs)
        )

    @_answers
    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:
        new = wire.to_python(request.news)
        if request.preview:
            known = _schema(request).outputs
            kept = {name: value for name, value in wire.to_python(request.olds).items() if name in known}
            return provider_pb2.UpdateResponse(properties=wire.to_struct({**new, **kept}))
        found = self._resource(request).update(request.id, _old_inputs(request), new, request.timeout)
        return provider_pb2.UpdateResponse(properties=wire.to_struct(found.state))

    @_answers
    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._resource(request).delete(request.id, wire.to_python(request.properties))
        return empty_pb2.Empty()

    def _resource(self, request: Any) -> Resource:
        _schema(request)
        if not self._resources:
            raise ProviderError("the docker provider's host is not known yet")
        return self._resources[_type(request)]


def _type(request: Any) -> str:
    """The type token, which is the third part of the URN, after any parents' types."""
    return str(request.urn.split("::")[2].rpartition("$")[2])


def _schema(request: Any) -> Schema:
    token = _type(request)
    if token not in SCHEMAS:
        raise ProviderError(f"{token} is not supported by this provider, only {', '.join(SCHEMAS)}")
    return SCHEMAS[token]


def _old_inputs(request: Any) -> dict[str, Any]:
    return wire.to_python(request.old_inputs if request.HasField("old_inputs") else request.olds)


def _some(changed: Any) -> Any:
    return provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE


def _kind(name: str, old: Mapping[str, Any], new: Mapping[str, Any], change: Change) -> Any:
    plain, replacing = (
        (_KINDS.ADD, _KINDS.ADD_REPLACE)
        if name not in old
        else (_KINDS.DELETE, _KINDS.DELETE_REPLACE)
        if name not in new
        else (_KINDS.UPDATE, _KINDS.UPDATE_REPLACE)
    )
    return replacing if change is Change.REPLACE else plain


class _Status(grpc.Status):
    """A status with details, in the form that `abort_with_status` takes."""

    def __init__(self, status: status_pb2.Status) -> None:
        self.code = grpc.StatusCode.UNKNOWN
        self.details = status.message
        self.trailing_metadata = (("grpc-status-details-bin", status.SerializeToString()),)


def _init_failed(failed: InitFailed) -> _Status:
    detail = any_pb2.Any()
    properties = wire.to_struct(failed.inputs)
    detail.Pack(
        provider_pb2.ErrorResourceInitFailed(id=failed.id, properties=properties, inputs=properties, reasons=failed.reasons)
    )
    # The engine reads the details only of a status whose own code says UNKNOWN.
    return _Status(status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(failed), details=[detail]))
