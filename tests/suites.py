"""Runs the tests that need containers, suite by suite: each only when something it depends on has changed since it passed.

    python -m tests.suites [SUITE …]

Every suite is run, whatever became of the one before, and how each ended is told at the end; exit status 1 when one failed.
Run again after a failure, it goes on where that was: what has passed is not run again (tests/passed.py says how that is known).
"""

from __future__ import annotations

import argparse
import sys
import time
from fnmatch import fnmatch

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
# What a stack's behaviour depends on: all of it goes into every suite, but for what stands in ONLY.
INPUTS = [
    "catalogue.yml", "Pulumi*.yaml", "ansible.cfg", "dashboards/**/*", "infra/**/*", "inventories/**/*", "playbooks/**/*",
    "plugins/**/*", "pyproject.toml", "requirements.txt", "roles/*/*/**/*", "rules/**/*", "scripts/**/*", "src/**/*",
    "supply/**/*", "web/**/*", "tests/*.py", "tests/browser/*", "tests/containers/*", "tests/contract/*", "tests/e2e/*",
    "tests/trader/*",
]  # fmt: skip
# What only some suites run, and which. A mistake here would leave out a suite that had to run, for as long as a pass is good.
# So nothing that several pipelines use stands here. What no container runs is not run by any.
BROWSER, FULL = ("browser", "gateway"), ("dashboards", "operations")
ONLY: dict[str, tuple[str, ...]] = {
    "infra/backup.py": ("operations",),
    "infra/drift_report.py": ("operations", "platform"),
    "infra/grafana.py": ("dashboards",),
    "infra/instance.py": ("operations",),
    "infra/layers.py": ("operations", "platform"),
    "infra/pipelines/dashboards.py": ("dashboards",),
    "infra/pipelines/log_metrics.py": ("log_metrics", *FULL),
    "infra/pipelines/ticks.py": ("ticks", *FULL),
    "infra/refill.py": ("delivery",),
    "infra/restic.py": ("operations",),
    "infra/stores.py": ("operations",),
    "infra/textfile.py": ("operations",),
    "dashboards/*": ("dashboards",),
    "playbooks/drift.yml": ("operations", "platform"),
    "playbooks/harden.yml": (),
    "playbooks/operations.yml": ("operations",),
    "playbooks/unharden.yml": (),
    "Pulumi.ticks.yaml": ("ticks",),
    "roles/*/molecule/*": (),
    **{
        f"roles/{role}/*": ()
        for role in ("accounts", "audit", "firewall", "integrity", "intrusion", "journal", "kernel", "ssh", "time", "updates")
    },
    **{f"roles/{role}/*": ("operations",) for role in ("backup", "timers")},
    **{f"roles/{role}/*": ("log_metrics", *FULL) for role in ("alloy_trader", "loki", "mimir")},
    **{f"roles/{role}/*": ("ticks", *FULL) for role in ("questdb", "telegraf")},
    "roles/grafana/*": ("dashboards",),
    "scripts/dashboards_check.py": ("dashboards",),
    "scripts/grafana_*.py": (),
    "scripts/open_report.py": (),
    "scripts/role_docs.py": (),
    "src/crowsnest/tick*/*": ("ticks", *FULL),
    "supply/images/alloy/*": ("contract", "delivery", "logs", "log_metrics", *FULL),
    "supply/images/questdb/*": ("contract", "ticks", *FULL),
    "supply/images/telegraf/*": ("contract", "ticks", *FULL),
    "supply/images/tick*/*": ("contract", "ticks", *FULL),
    "tests/browser/*": ("browser",),
    "tests/contract/*": ("contract",),
    "tests/controls.py": (),
    "tests/e2e/delivery.py": ("delivery", "log_metrics", "ticks"),
    "tests/e2e/rehearsal.py": ("metrics",),
    "tests/e2e/ticks.py": ("ticks",),
    "tests/e2e/trader_logs.py": ("log_metrics",),
    "tests/mutation.py": (),
    "tests/passed.py": (),
    "tests/suites.py": (),
    "web/*": BROWSER,
}


def files_of(suite: str) -> list[str]:
    """Test files of a suite, from the project's root."""
    return _found(SUITES[suite])


def inputs_of(suite: str) -> list[str]:
    """What its outcome depends on, file by file: its own tests, and the inputs but for what is other suites' only."""
    others = {file for name in SUITES if name != suite for file in files_of(name)}
    left_out = [pattern for pattern, suites in ONLY.items() if suite not in suites]
    return [
        path for path in _found(INPUTS) if path not in others and not any(fnmatch(path, pattern) for pattern in left_out)
    ]  # fmt: skip


def _found(patterns: list[str]) -> list[str]:
    found = {path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()}
    return [str(path.relative_to(ROOT)) for path in sorted(found)]


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
