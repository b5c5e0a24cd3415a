"""`make drill ALERT=name`: an alert really happens, in a stack of its own, and arrives at a receiver on this machine.

The stack runs beside any other with folders, names and ports of its own, and is gone afterwards. What the durations of rules
are cut to stands in tests/e2e/rehearsal.py; nothing else differs from what runs in production.
"""

from __future__ import annotations

import argparse
import copy
import os
import shutil
import sys
import tempfile
from pathlib import Path

import docker

from tests import checkers
from tests.e2e.conftest import StackUnderTest
from tests.e2e.rehearsal import CONDITIONS, LONGEST_WAIT_SECONDS, TREE, rehearsal

NAME = "drill"
PORT_OFFSET = 27000


def main() -> int:
    """0 when every alert arrived, 1 when one did not, 2 for a name that there is not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("alert", nargs="*", metavar="ALERT", help="which; without one, all")
    parser.add_argument("--name-prefix", default=f"crowsnest-{NAME}")
    options = parser.parse_args()
    if unknown := [name for name in options.alert if name not in CONDITIONS]:
        print(f"no drill for {', '.join(unknown)}; there are {', '.join(CONDITIONS)}", file=sys.stderr)
        return 2
    os.environ["CROWSNEST_CHECKERS"] = str(checkers.folder())
    folder = Path(tempfile.mkdtemp(prefix="crowsnest-drill-"))
    folder.chmod(0o755)  # containers run as users of their own and have to reach their files
    tree = copy.deepcopy(TREE) | {"name_prefix": options.name_prefix, "port_offset": PORT_OFFSET}
    stack = StackUnderTest(folder, tree, NAME)
    print(f"making a stack for the drill; no condition has to last longer than {LONGEST_WAIT_SECONDS} s in it", flush=True)
    try:
        return _drill(stack, options.alert or list(CONDITIONS))
    finally:
        stack.run("purge", "--yes", expect=None)
        shutil.rmtree(folder, ignore_errors=True)


def _drill(stack: StackUnderTest, names: list[str]) -> int:
    failed = 0
    with rehearsal(stack, docker.from_env(timeout=60)) as made:
        for name in names:
            print(f"{name}: the condition holds from now on", flush=True)
            try:
                arrived, ended = made.make_happen(name)
            except AssertionError as error:
                print(f"{name}: {error}", flush=True)
                failed += 1
                continue
            (_, alert) = made.receiver.alerts(name, "firing", **CONDITIONS[name].labels)[-1]
            print(f"{name}: arrived after {arrived:.1f} s as {alert['labels']['severity']}: {alert['annotations']['summary']}")
            print(f"  {alert['annotations']['description']}")
            print(f"  {alert['annotations']['runbook_url']}")
            if ended is not None:
                print(f"{name}: its end arrived {ended:.1f} s after the condition's", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
