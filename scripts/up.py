"""Run site.yml and close with what a person wants to know: seconds of each phase, and the addresses.

Called by ``make up``; every option after the stack's is handed to ansible-playbook.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from infra import settings as stack_settings
from infra.catalogue import PROJECT_ROOT


def main() -> int:
    """Exit code of ansible-playbook, 2 when the stack's settings cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", required=True)
    parser.add_argument("--supply", choices=("auto", "upstream", "packages"))
    parser.add_argument("--begun", type=float, default=time.time(), help="Unix time at which the command was given")
    options, more = parser.parse_known_args()
    try:
        settings = stack_settings.read(options.stack, _own_settings())
    except stack_settings.SettingsError as error:
        print(f"refused: {error}", file=sys.stderr)
        return 2
    phases = {"environment": round(time.time() - options.begun, 1)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "phases.json"
        arguments = ["-e", f"stack={options.stack}", *(["-e", f"supply={options.supply}"] if options.supply else []), *more]
        code = subprocess.run(
            [Path(sys.executable).with_name("ansible-playbook"), "site.yml", *arguments],
            cwd=PROJECT_ROOT,
            env={**os.environ, "CROWSNEST_PHASES_FILE": str(file)},
            check=False,
        ).returncode
        if file.exists():
            phases |= json.loads(file.read_text())
    _print(phases, settings.urls if code == 0 else {}, time.time() - options.begun)
    return code


def _own_settings() -> Path | None:
    own = os.environ.get("CROWSNEST_SETTINGS")
    return Path(own) if own else None


def _print(phases: dict[str, float], urls: dict[str, str], total_seconds: float) -> None:
    table = Table("phase", "seconds", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for phase, seconds in {**phases, "total": total_seconds}.items():
        table.add_row(phase, f"{seconds:.1f}")
    console = Console()
    console.print()
    console.print(table)
    for entry, url in urls.items():
        console.print(f"\n{entry}: {url}{'/select/vmui/' if entry == 'victorialogs.http' else ''}", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
