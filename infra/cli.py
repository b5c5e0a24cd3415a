"""Deploy a stack: ``python -m infra.cli up | preview | drift | down | purge | status | refill | describe | address |
certificate | backup | backups | restore | restore-test``.

Exit codes: 0 done and as declared, 1 failed, 2 drift found or refused with nothing changed.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import docker
from docker.errors import DockerException

from infra import authority, daemon, drift_report, health, layers, preflight, reload, repair, textfile
from infra import backup as keeping
from infra import refill as refilling
from infra import settings as stack_settings
from infra.checkpoint import Checkpoint
from infra.daemon import DaemonError
from infra.drift import Finding, Probe
from infra.engine import Engine, EngineError, LockedError, pulumi_home
from infra.errors import Failed, Refused
from infra.health import WELL, Health
from infra.host import PREFIX_LABEL
from infra.platform import declare
from infra.reload import ReloadError
from infra.report import Report
from infra.settings import Settings, SettingsError
from infra.supplies import SupplyRecord
from supply import images, tools
from supply.images import SupplyError

OK, FAILED, DRIFT_OR_REFUSED = 0, 1, 2
ALL = "all"
INVENTORY = Path("inventories/local")


@dataclass
class Deployment:
    """One command's view of a stack. Expensive parts are made when first used."""

    settings: Settings
    report: Report

    @cached_property
    def client(self) -> docker.DockerClient:
        """The stack's daemon, which has answered."""
        return daemon.connect(self.settings.docker_host)

    @cached_property
    def engine(self) -> Engine:
        """The stack's engine, with the lock of a killed deployment out of the way."""
        os.environ["PULUMI_HOME"] = str(pulumi_home(self.settings))
        command = tools.engine(self.settings.supply, self.report.say)
        os.environ["PATH"] = os.pathsep.join([str(command.parent), os.environ["PATH"]])
        engine = Engine(self.settings, command, tools.docker_provider(self.settings.supply, self.report.say))
        engine.clear_stale_lock(self.report.say)
        return engine

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The state before this command."""
        return self.engine.checkpoint()

    def findings(self) -> list[Finding]:
        """Drift, now."""
        return Probe(self.client, self.settings, self.checkpoint).findings()

    def program(self, *, ensure_images: bool) -> Callable[[], None]:
        """The program with its images chosen; `ensure_images` also pulls or builds what is not there yet."""
        record = SupplyRecord(self.settings)
        supplies = {component.name: record.choose(component) for component in self.settings.components}
        chosen = {
            component.name: (
                images.ensure(component, supplies[component.name], self.client, self.report.say)
                if ensure_images
                else images.plan(component, supplies[component.name], self.client)
            )
            for component in self.settings.components
        }
        if ensure_images:
            record.keep(self.settings.components, chosen.values())
        target = daemon.read(self.client)
        return lambda: declare(self.settings, lambda component: chosen[component.name].reference, target)


def up(deployment: Deployment, options: argparse.Namespace) -> int:
    """Converge, and end only when every service is healthy."""
    settings, report, client = deployment.settings, deployment.report, deployment.client
    keeping.check_no_restore(settings)
    preflight.check_host(settings)
    preflight.check_state(client, settings, deployment.checkpoint, accept_daemon=options.accept_daemon)
    replaced = _urns_of(options.replace, deployment)
    program = deployment.program(ensure_images=True)
    findings = deployment.findings()
    for finding in findings:
        report.say(f"  drift: {finding}")
    if deployment.checkpoint.pending:
        report.say(f"  the last deployment was cut short in {deployment.checkpoint.pending} operations; repairing")
        deployment.engine.forget_pending()
    repair.remove_leftovers(client, settings, deployment.checkpoint, report.say)
    failure: EngineError | None = None
    try:
        deployment.engine.up(program, report.on_event, replace=sorted({*replaced, *repair.to_replace(findings)}))
    except EngineError as error:
        failure = error
    health.apply_pids_limits(client, settings)
    healths = health.wait(client, settings, report.say) if failure is None else health.read(client, settings)
    _show(healths, deployment)
    _judge(healths, failure, deployment)
    _reload(deployment)
    report.say(f"  {len(report.changes)} changes" if report.changes else "  nothing changed")
    report.close("ok", changes=report.changes, components=[health.as_json() for health in healths], urls=settings.urls)
    return OK


def _reload(deployment: Deployment) -> None:
    """Have those read their configuration that can while they run, where it was changed since they did."""
    for component in reload.pending(deployment.client, deployment.settings):
        reload.reload(deployment.client, deployment.settings, component)
        deployment.report.say(f"  {component.name}: has read its changed configuration")
        deployment.report.changes.append({"resource": f"container {component.name}", "operation": "reloaded"})


def _urns_of(components: Sequence[str], deployment: Deployment) -> list[str]:
    """URNs of the containers of components named by the user."""
    found = {name: deployment.checkpoint.container(name) for name in components}
    unknown = [name for name, resource in found.items() if resource is None]
    if unknown:
        raise Refused(f"--replace: {', '.join(unknown)} is not deployed in stack {deployment.settings.stack}")
    return [resource.urn for resource in found.values() if resource]


def _judge(healths: Sequence[Health], failure: EngineError | None, deployment: Deployment) -> None:
    """Raise with the last log lines of every component that is not healthy, and the engine's error."""
    sick = [health for health in healths if health.state not in WELL]
    if not sick and failure is None:
        return
    lines = [] if failure is None else [str(failure)]
    for patient in sick:
        lines.append(f"{patient.component} is {patient.state}; its last log lines:")
        lines += [f"  {line}" for line in health.last_words(deployment.client, patient.container)] or ["  (none)"]
    raise Failed(*lines)


def preview(deployment: Deployment, _options: argparse.Namespace) -> int:
    """Say what `up` would change and what that means."""
    report = deployment.report
    deployment.engine.preview(deployment.program(ensure_images=False), report.on_preview)
    if report.changes:
        rows = [
            (change["operation"], change["resource"], ", ".join(change["properties"]), change["consequence"])
            for change in report.changes
        ]
        report.table(("step", "resource", "because of", "consequence"), rows)
    else:
        report.say("nothing to change")
    report.close("ok", changes=report.changes)
    return OK


def drift(deployment: Deployment, options: argparse.Namespace) -> int:
    """Compare what is there with what was declared, layer by layer; without --layer, the containers."""
    report, settings = deployment.report, deployment.settings
    chosen = options.layer or [layers.CONTAINERS]
    names = [name for name in layers.NAMES if name in chosen or ALL in chosen]
    machine = layers.Machine(settings, lambda: deployment.client, options.inventory)
    if options.inventory != INVENTORY:
        results = layers.elsewhere(machine, names)
    else:
        results = [_containers(deployment) if name == layers.CONTAINERS else layers.look(machine, name) for name in names]
    drift_report.tell(results, report.say, report.table)
    if options.junit:
        options.junit.write_text(drift_report.as_junit(results, settings.stack), encoding="utf-8")
    if options.publish:
        textfile.publish(settings, "drift", drift_report.metrics(results, settings))
    findings = [finding.as_json() for result in results for finding in result.findings]
    code = drift_report.code(results)
    report.close(
        {OK: "ok", FAILED: "failed", DRIFT_OR_REFUSED: "drift"}[code], findings=findings, layers=drift_report.as_json(results)
    )
    return code


def _containers(deployment: Deployment) -> layers.Result:
    """What Docker runs against the state.

    Raises:
        Refused: there is no state, or it is of another daemon.
    """
    begun = time.monotonic()
    state = deployment.settings.folders.state
    owner = state.stat() if state.exists() else None
    if owner and os.geteuid() == 0 and owner.st_uid != 0:
        # The engine would leave files of root's in the state of who deploys.
        return layers.as_user(deployment.settings, layers.CONTAINERS, owner.st_uid, owner.st_gid)
    if not deployment.checkpoint.resources:
        raise Refused(f"stack {deployment.settings.stack} is not deployed; run `make up STACK={deployment.settings.stack}`")
    preflight.check_daemon(deployment.client, deployment.checkpoint)
    return layers.Result(layers.CONTAINERS, time.monotonic() - begun, deployment.findings())


def down(deployment: Deployment, _options: argparse.Namespace) -> int:
    """Stop and remove containers and networks; data, secrets and configuration stay."""
    _take_down(deployment)
    deployment.report.say(f"stack {deployment.settings.stack} is down; its data stays in {deployment.settings.folders.data}")
    deployment.report.close("ok", changes=deployment.report.changes)
    return OK


def _take_down(deployment: Deployment) -> None:
    keeping.check_no_restore(deployment.settings)
    preflight.check_daemon(deployment.client, deployment.checkpoint)
    if deployment.checkpoint.pending:
        deployment.engine.forget_pending()
    repair.remove_leftovers(deployment.client, deployment.settings, deployment.checkpoint, deployment.report.say)
    deployment.engine.down(deployment.report.on_event)


def purge(deployment: Deployment, options: argparse.Namespace) -> int:
    """Remove everything of the stack, its data, secrets and configuration included."""
    settings, report = deployment.settings, deployment.report
    doomed = [path for path in (settings.folders.data, settings.folders.config) if path.exists()]
    if not options.yes:
        _confirm(settings, doomed)
    _take_down(deployment)
    for volume in deployment.client.volumes.list(filters={"label": f"{PREFIX_LABEL}={settings.name_prefix}"}):
        volume.remove()
        report.say(f"  volume {volume.name}: removed")
    for path in doomed:
        shutil.rmtree(path)
        report.say(f"  {path}: removed")
    deployment.engine.forget()
    SupplyRecord(settings).forget()
    report.say(f"stack {settings.stack} and its data are gone")
    report.close("ok", changes=report.changes, removed=[str(path) for path in doomed])
    return OK


def _confirm(settings: Settings, doomed: Sequence[Path]) -> None:
    """Ask for the stack's name; no terminal means no."""
    places = " and ".join(map(str, doomed)) or "nothing on disk"
    question = f"This removes stack {settings.stack} with all its data in {places}.\nType the stack's name to go on: "
    _ask_for_name(settings, question, f"purge removes the data of stack {settings.stack}; give --yes (make purge YES=1)")


def _ask_for_name(settings: Settings, question: str, without_terminal: str) -> None:
    """Go on only when the stack's name is typed."""
    if not sys.stdin.isatty():
        raise Refused(f"{without_terminal} to mean it")
    if input(question).strip() != settings.stack:
        raise Refused("nothing was done: the name did not match")


def refill(deployment: Deployment, options: argparse.Namespace) -> int:
    """Bring lines of containers again that were lost when the log store or the collector ended."""
    report = deployment.report
    brought = refilling.refill(deployment.client, deployment.settings, report.say, seconds=options.seconds)
    if brought:
        report.table(("container", "lines brought", "now stored"), [one.row for one in brought])
        report.say(
            "  what is brought and not stored is dropped by a rule" if any(one.left for one in brought) else "  all stored"
        )
    else:
        report.say("nothing is missing")
    report.close("ok", brought=[asdict(one) for one in brought])
    return OK


def status(deployment: Deployment, _options: argparse.Namespace) -> int:
    """Health of each component; exit 1 when one is not healthy."""
    healths = health.read(deployment.client, deployment.settings)
    _show(healths, deployment)
    well = all(one.state in WELL for one in healths)
    deployment.report.close("ok" if well else "failed", components=[one.as_json() for one in healths])
    return OK if well else FAILED


def _show(healths: Sequence[Health], deployment: Deployment) -> None:
    urls = {entry.split(".")[0]: url for entry, url in deployment.settings.urls.items()}
    rows = [(one.component, one.state, one.restarts, one.started, urls.get(one.component, ""), one.image) for one in healths]
    deployment.report.table(("component", "health", "restarts", "started", "address", "image"), rows)


def describe(deployment: Deployment, _options: argparse.Namespace) -> int:
    """Plain facts of the stack as JSON, for Ansible: what must exist on the host before containers start."""
    print(json.dumps(deployment.settings.describe()))
    return OK


def address(deployment: Deployment, options: argparse.Namespace) -> int:
    """Where this machine reaches a component: its published port, or its own address on an internal network."""
    settings = deployment.settings
    component = next((one for one in settings.components if one.name == options.component), None)
    if component is None or "http" not in component.ports:
        able = [one.name for one in settings.components if "http" in one.ports]
        raise Refused(
            f"{options.component} is not in stack {settings.stack} or has no HTTP port; choose from {', '.join(able)}"
        )
    url = settings.url(component)
    if url is None and not settings.docker_host.startswith("ssh://"):
        url = health.container_url(deployment.client, settings, component, "http")
    if url is None:
        raise Failed(f"{component.name} does not run here; `make status STACK={settings.stack}` shows what does")
    print(url)
    return OK


def certificate(deployment: Deployment, _options: argparse.Namespace) -> int:
    """The root certificate of the gateway's own authority, for people's machines to trust."""
    print(authority.root_certificate(deployment.client, deployment.settings), end="")
    return OK


def backup(deployment: Deployment, options: argparse.Namespace) -> int:
    """Save every store while it runs, check the repository, and remove what is no longer kept; as root."""
    outcomes = keeping.backup(keeping.Keeper(deployment.settings, deployment.report.say), options.store)
    return _close_outcomes(deployment, outcomes)


def backups(deployment: Deployment, _options: argparse.Namespace) -> int:
    """List the backups there are."""
    snapshots = keeping.listed(keeping.Keeper(deployment.settings, deployment.report.say))
    deployment.report.table(("backup", "store", "made"), [(one.id, one.store, f"{one.time[:19]}Z") for one in snapshots])
    deployment.report.close("ok", backups=[asdict(one) for one in snapshots])
    return OK


def restore(deployment: Deployment, options: argparse.Namespace) -> int:
    """Put stores back as they were saved; asks. Secrets and Pulumi's state only when they are named; as root."""
    settings, keeper = deployment.settings, keeping.Keeper(deployment.settings, deployment.report.say)
    if not options.yes:
        what = ", ".join(options.store) or "every store"
        _ask_for_name(
            settings,
            f"This exchanges the data of {what} of stack {settings.stack}.\nType the stack's name to go on: ",
            f"restore exchanges the data of {what} of stack {settings.stack}; give --yes (make restore YES=1)",
        )
    return _close_outcomes(deployment, keeping.restore(keeper, options.store, options.backup))


def restore_test(deployment: Deployment, options: argparse.Namespace) -> int:
    """Try the restore of the last backups in a scratch place, and compare; the stack goes on. As root."""
    outcomes = keeping.restore_test(keeping.Keeper(deployment.settings, deployment.report.say), options.store)
    return _close_outcomes(deployment, outcomes)


def _close_outcomes(deployment: Deployment, outcomes: Sequence[keeping.Outcome]) -> int:
    """What became of each store, as a table."""
    well = all(one.ok for one in outcomes)
    deployment.report.table(
        ("store", "result", "recovery point", "seconds", "figures compared"),
        [
            (
                one.store,
                "ok" if one.ok else "failed",
                keeping.when(one.at) if one.at else "",
                f"{one.seconds:.1f}",
                one.compared,
            )
            for one in outcomes
        ],
    )
    deployment.report.close("ok" if well else "failed", stores=keeping.as_json(outcomes))
    return OK if well else FAILED


COMMANDS = {
    command.__name__.replace("_", "-"): command
    for command in (
        *(up, preview, drift, down, purge, status, refill, describe, address, certificate),
        *(backup, backups, restore, restore_test),
    )
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--stack", default=os.environ.get("STACK", "demo"), help="which Pulumi.<stack>.yaml (default: %(default)s)"
    )
    own = os.environ.get("CROWSNEST_SETTINGS")
    common.add_argument(
        "--settings", type=Path, default=own and Path(own), help="read the stack's settings from this file instead"
    )
    common.add_argument("--supply", choices=("auto", "upstream", "packages"), help="where images and tools come from")
    common.add_argument("--json", action="store_true", help="one JSON document on stdout; progress goes to stderr")
    top = argparse.ArgumentParser(
        prog="python -m infra.cli", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        sub = commands.add_parser(name, parents=[common], help=command.__doc__, description=command.__doc__)
        if name == "up":
            sub.add_argument(
                "--replace", action="append", default=[], metavar="COMPONENT", help="recreate this container; repeatable"
            )
            sub.add_argument("--accept-daemon", action="store_true", help="the machine's Docker was installed anew")
        if name == "refill":
            sub.add_argument(
                "--seconds",
                type=float,
                default=refilling.DEFAULT_SECONDS,
                help="how long before the last end of each to look (default: %(default)s)",
            )
        if name == "drift":
            sub.add_argument(
                "--layer", action="append", default=[], choices=(*layers.NAMES, ALL), help="what to look at; repeatable"
            )
            sub.add_argument("--inventory", type=Path, default=INVENTORY, help="of the layer ansible (default: %(default)s)")
            sub.add_argument("--junit", type=Path, metavar="FILE", help="also write the report as JUnit's XML")
            sub.add_argument("--publish", action="store_true", help="also write metrics for node-exporter")
        if name in ("backup", "restore", "restore-test"):
            sub.add_argument("--store", action="append", default=[], help="this store only; repeatable")
        if name == "restore":
            sub.add_argument("--backup", default=keeping.LATEST, help="which of `backups` (default: %(default)s)")
            sub.add_argument("--yes", action="store_true", help="do not ask")
        if name == "address":
            sub.add_argument("component", help="name in the catalogue")
        if name == "purge":
            sub.add_argument("--yes", action="store_true", help="do not ask")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and turn every expected failure into its line and exit code."""
    options = parser().parse_args(arguments)
    report = Report(as_json=options.json)
    try:
        settings = stack_settings.read(options.stack, options.settings)
        if options.supply:
            settings = settings.model_copy(update={"supply": options.supply})
        return COMMANDS[options.command](Deployment(settings, report), options)
    except (Refused, SettingsError, DaemonError, LockedError) as error:
        return _end(report, "refused", str(error), DRIFT_OR_REFUSED)
    except (Failed, EngineError, SupplyError, ReloadError) as error:
        return _end(report, "failed", str(error), FAILED)
    except DockerException as error:
        return _end(report, "failed", f"Docker: {error}", FAILED)
    except OSError as error:
        return _end(report, "failed", _plain(error), FAILED)


def _plain(error: OSError) -> str:
    hint = "; free some space and run it again" if error.errno == errno.ENOSPC else ""
    return f"{error.strerror or error}: {error.filename or ''}{hint}"


def _end(report: Report, result: str, message: str, code: int) -> int:
    for line in message.splitlines():
        print(f"{result}: {line}" if not line.startswith("  ") else line, file=sys.stderr, flush=True)
    report.close(result, message=message, changes=report.changes)
    return code


if __name__ == "__main__":
    sys.exit(main())
