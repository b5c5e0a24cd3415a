"""`python -m crowsnest COMMAND`: the programs of the library under one name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence


def _heartbeat(arguments: Sequence[str]) -> int:
    from crowsnest.heartbeat import main

    return main(arguments)


COMMANDS: dict[str, tuple[Callable[[Sequence[str]], int], str]] = {
    "heartbeat": (_heartbeat, "tell people when the heartbeat of a trading machine stays away"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 2 with the list of them when there is no such one."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in COMMANDS:
        return COMMANDS[words[0]][0](words[1:])
    print("usage: python -m crowsnest COMMAND", file=sys.stderr)
    for name, (_, text) in COMMANDS.items():
        print(f"  {name:12} {text}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
