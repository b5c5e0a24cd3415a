"""Writes dashboards/json. Run by ``make docs``; ``tests/unit/test_dashboards.py`` fails when what is committed differs."""

from __future__ import annotations

import json
from pathlib import Path

from dashboards.catalogue import DASHBOARDS

JSON = Path(__file__).resolve().parent / "json"


def files() -> dict[Path, str]:
    """Every file and its text."""
    titles = {one.uid: one.title for one in DASHBOARDS}
    return {JSON / f"{one.uid}.json": json.dumps(one.render(titles), indent=1, ensure_ascii=False) + "\n" for one in DASHBOARDS}


def main() -> None:
    """Write what differs, remove what belongs to no dashboard any more, and say so."""
    wanted = files()
    for path in sorted(set(JSON.glob("*.json")) - set(wanted)):
        path.unlink()
        print(f"{path.name}: removed")
    for path, text in wanted.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"dashboards/json/{path.name}")


if __name__ == "__main__":
    main()
