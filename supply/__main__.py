"""Command line of the supply: ``python -m supply images | tools | checkers | web | lock | list | prerequisites``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import docker
import docker.errors

from infra import settings
from infra.catalogue import PROJECT_ROOT, catalogue
from infra.settings import SettingsError, Supply
from supply import checkers, images, lock, prerequisites, tools, web
from supply.cache import Cache
from supply.errors import SupplyError


class Request:
    """What the command line chose: components, supply and Docker daemon."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        stack = settings.read(options.stack) if options.stack else None
        known = catalogue().components
        for name in options.component:
            if name not in known:
                raise SupplyError(f"there is no component {name!r}; choose from {', '.join(known)}")
        if options.component:
            self.components = [known[name] for name in options.component]
        else:
            self.components = stack.components if stack else list(known.values())
        self.supply: Supply = options.supply or (stack.supply if stack else "auto")
        self._host = stack.docker_host if stack else None

    def client(self) -> docker.DockerClient:
        """A client of the stack's daemon, or of the environment's without a stack.

        Raises:
            SupplyError: when the daemon does not answer.
        """
        try:
            client = docker.DockerClient(base_url=self._host) if self._host else docker.from_env()
            client.ping()
        except docker.errors.DockerException as error:
            raise SupplyError(f"Docker does not answer at {self._host or 'its default address'}: start it ({error})") from error
        return client


def _say(line: str) -> None:
    print(line, flush=True)


def _images(request: Request) -> None:
    client = request.client()
    for component in request.components:
        images.ensure(component, request.supply, client, _say)


def _tools(request: Request) -> None:
    _say(f"pulumi: {tools.engine(request.supply, _say)}")
    own = tools.docker_provider(request.supply, _say)
    _say(f"docker plugin: {own / tools.PLUGIN if own else 'official'}")


def _checkers(_request: Request) -> None:
    _say(str(checkers.ensure(Cache(catalogue().paths.cache), lambda line: print(line, file=sys.stderr))))


def _web(request: Request) -> None:
    """Build the pages and put them where the tests look, or run npm's check of the sources as they are."""
    cache, client = Cache(catalogue().paths.cache), request.client()
    with cache.locked(_say):
        for folder, script in WEB_STEPS[request.options.step]:
            web.run("web", PROJECT_ROOT, f"{INSTALLED} {script}", client, cache, _say, below=folder)
            _say(f"{folder}: {script}: done")


# npm writes this file last, so it tells whether what is installed is what is locked.
INSTALLED = "test node_modules/.package-lock.json -nt package-lock.json || { npm ci; touch node_modules/.package-lock.json; };"
WEB_STEPS = {
    "build": [("web", "npm run --silent build")],
    "check": [("web/openapi", "npm run --silent check"), ("web", "npm run --silent check")],
    "types": [("web/openapi", "npm run --silent types")],
}


def _lock(request: Request) -> None:
    lock.write(catalogue().components.values(), request.client(), _say, accept_moved=request.options.accept_moved)
    _say(f"wrote {lock.PATH}")


def _list(request: Request) -> None:
    client, locked = request.client(), lock.read()
    rows: list[tuple[str, ...]] = [("COMPONENT", "UPSTREAM", "LOCKED", "PACKAGES", "HERE")]
    for component in request.components:
        upstream = component.upstream.reference if component.upstream else "-"
        here = images.present(component, request.supply, client)
        built = images.packages_reference(component) if component.packages else "-"
        built = f"image of {component.image_of}" if component.image_of else built
        row = (component.name, upstream, "yes" if locked.digest(component) else "no", built)
        rows.append((*row, here.supply if here else "no"))
    _table(rows)


def _prerequisites(request: Request) -> None:
    try:
        client = request.client()
    except SupplyError:
        client = None  # Docker may well be what is installed next
    for package in prerequisites.missing(request.components, request.supply, client):
        _say(package)


def _table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        _say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


_COMMANDS: dict[str, tuple[Callable[[Request], None], str]] = {
    "images": (_images, "make images present: local, else pulled, else built"),
    "tools": (_tools, "make the Pulumi command-line tool and a Docker provider present"),
    "checkers": (_checkers, "unpack promtool, amtool and the like into the build cache; print the folder"),
    "web": (_web, "build or check the viewer in web/ with Debian's Node: build, check or types"),
    "lock": (_lock, "write catalogue.lock: the digest of every official image (needs the network)"),
    "list": (_list, "show where each component comes from and whether it is here"),
    "prerequisites": (_prerequisites, "print the Debian packages that building needs and this machine lacks, one a line"),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m supply", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, (_, summary) in _COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        command.set_defaults(stack=None, component=[], supply=None)
        if name == "lock":
            command.add_argument("--accept-moved", action="store_true", help="take the new digest of a tag that moved")
        if name == "web":
            command.add_argument("step", choices=tuple(WEB_STEPS))
        if name in ("lock", "checkers", "web"):
            continue
        command.add_argument("--supply", choices=("auto", "upstream", "packages"), help="default: the stack's, else auto")
        command.add_argument("--stack", choices=settings.stack_names(), help="take components, supply and Docker host of it")
        if name != "tools":
            command.add_argument("--component", action="append", metavar="NAME", help="this component only; may be repeated")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when it did what it says, 1 with a line on stderr otherwise."""
    options = _parser().parse_args(arguments)
    try:
        _COMMANDS[options.command][0](Request(options))
    except (SupplyError, SettingsError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; what was completed stays in the cache, run it again to go on", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
