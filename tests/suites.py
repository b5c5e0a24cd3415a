"""Runs the tests that need containers, suite by suite: each only when something it depends on has changed since it passed.

    python -m tests.suites [SUITE …]

Every suite is run, whatever became of the one before, and how each ended is told at the end; exit status 1 when one failed.
Run again after a failure, it goes on where that was: what has passed is not run again (tests/passed.py says how that is known).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests import passed

ROOT = passed.ROOT
# Files by suite. Those of one suite share its fixtures: the stack that `platform` deploys once, above all.
SUITES = {
    "contract": ["tests/contract/test_*.py"],
    "logs": ["tests/e2e/test_alloy_lines.py", "tests/e2e/test_container_records.py", "tests/e2e/test_logs*.py"],
    "api": ["tests/e2e/test_api_*.py"],
    "engine": ["tests/e2e/test_engine_*.py", "tests/e2e/test_trading_database.py", "tests/e2e/test_trading_schema.py"],
    "platform": [
        "tests/e2e/test_bad_input.py", "tests/e2e/test_data_safety.py", "tests/e2e/test_deploy.py", "tests/e2e/test_make_up.py",
        "tests/e2e/test_plain_pulumi.py", "tests/e2e/test_secrets.py", "tests/e2e/test_trading_rate.py",
        "tests/e2e/test_truthfulness.py",
    ],
    "gateway": ["tests/e2e/test_gateway.py"],
    "metrics": ["tests/e2e/test_metrics_pipeline.py"],
    "browser": ["tests/browser/test_*.py"],
    "ticks": ["tests/e2e/test_ticks.py"],
    "delivery": ["tests/e2e/test_delivery.py"],
    "log_metrics": ["tests/e2e/test_log_metrics.py"],
    "dashboards": ["tests/e2e/test_dashboards.py"],
    "operations": ["tests/e2e/test_backup.py", "tests/e2e/test_drift_layers.py"],
}  # fmt: skip
# What a stack's behaviour depends on. Not told apart by suite, but for the tests themselves: nearly everything goes into every
# stack.
INPUTS = [
    "catalogue.yml", "Pulumi*.yaml", "ansible.cfg", "dashboards", "infra", "inventories", "playbooks", "plugins",
    "pyproject.toml", "requirements.txt", "roles", "rules", "scripts", "src", "supply", "web", "tests/*.py", "tests/browser/*",
    "tests/containers", "tests/contract/*", "tests/e2e/*", "tests/trader",
]  # fmt: skip


def files_of(suite: str) -> list[str]:
    """Test files of a suite, from the project's root."""
    return _found(SUITES[suite])


def inputs_of(suite: str) -> list[str]:
    """What its outcome depends on: the inputs but for other suites' tests."""
    own = files_of(suite)
    return own + [path for path in _found(INPUTS) if not Path(path).match("tests/*/test_*.py")]


def _found(patterns: list[str]) -> list[str]:
    return [str(path.relative_to(ROOT)) for pattern in patterns for path in sorted(ROOT.glob(pattern))]


def run(suite: str) -> int:
    """Exit status of the suite's tests, 0 when they need not run."""
    # The program by its name: its path would make another key of each checkout.
    command = ["python", "-m", "pytest", "-p", "no:cacheprovider", *files_of(suite)]
    return passed.main([f"suite-{suite}", *inputs_of(suite), "--", *command])


def main(arguments: list[str]) -> int:
    """Run the suites that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.suites", description=__doc__.partition("\n")[0])
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(SUITES))
    chosen = parser.parse_args(arguments).suites or list(SUITES)
    if unknown := set(chosen) - set(SUITES):
        parser.error(f"there is no suite {', '.join(sorted(unknown))}; choose from {', '.join(SUITES)}")
    ended: list[str] = []
    failed = False
    for suite in chosen:
        begun = time.monotonic()
        print(f"== suite {suite}", flush=True)
        status = run(suite)
        failed |= status != 0
        ended.append(f"{suite:12} {'passed' if status == 0 else f'FAILED ({status})':12} {time.monotonic() - begun:6.0f} s")
    print("\n".join(["", *ended]))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
