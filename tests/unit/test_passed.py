"""A tier is left out only when it passed with the very same inputs."""

import os
import time
from pathlib import Path

import pytest

from tests import passed


@pytest.fixture
def tier(tmp_path, monkeypatch):
    """Runs a command that counts its runs, with one file as its input."""
    monkeypatch.setattr(passed, "ROOT", tmp_path)
    monkeypatch.setattr(passed, "note_of", lambda name: tmp_path / "notes" / name)
    monkeypatch.delenv("CROWSNEST_AGAIN", raising=False)
    (tmp_path / "input").mkdir()
    (tmp_path / "input/file").write_text("one")
    runs = tmp_path / "runs"

    def run() -> int:
        return passed.main(["tier", "input", "--", "sh", "-c", f"echo run >>{runs}; exit $(cat {tmp_path}/status)"])

    def count() -> int:
        return len(runs.read_text().splitlines()) if runs.exists() else 0

    (tmp_path / "status").write_text("0")
    return run, count, tmp_path


def test_same_inputs_run_once(tier, capsys):
    run, count, _ = tier

    assert (run(), run(), count()) == (0, 0, 1)
    assert "NOT RUN" in capsys.readouterr().out


def test_a_pass_of_more_counts_for_less_and_not_the_other_way_round(tier):
    _, count, folder = tier
    command = ["input", "--", "sh", "-c", f"echo run >>{folder / 'runs'}"]

    assert passed.main(["quick,whole", *command]) == 0
    assert passed.main(["whole", *command]) == 0
    assert count() == 2
    (folder / "notes/quick").unlink()
    assert passed.main(["quick,whole", *command]) == 0
    assert count() == 2


@pytest.mark.parametrize("change", ["content", "mode", "new file", "again", "old"])
def test_any_change_runs_again(tier, change, monkeypatch):
    run, count, root = tier
    run()
    note: Path = root / "notes/tier"
    match change:
        case "content":
            (root / "input/file").write_text("two")
        case "mode":
            (root / "input/file").chmod(0o755)
        case "new file":
            (root / "input/other").touch()
        case "again":
            monkeypatch.setenv("CROWSNEST_AGAIN", "1")
        case "old":
            os.utime(note, times=(time.time() - 8 * 86_400,) * 2)
    run()

    assert count() == 2


def test_failure_is_never_noted(tier):
    run, count, root = tier
    (root / "status").write_text("3")

    assert (run(), run(), count()) == (3, 3, 2)


def test_input_that_is_not_there_is_an_error(tier):
    with pytest.raises(FileNotFoundError):
        passed.main(["tier", "no-such-folder", "--", "true"])


def test_of_pinned_packages_only_those_that_are_named_count(tier):
    _, count, root = tier
    command = ["input", "pins.txt#molecule,pytest", "--", "sh", "-c", f"echo run >>{root / 'runs'}"]

    for text in (
        "molecule==1 \\\n  --hash=sha256:a\npytest==2\n",
        "molecule==1\nother==3\npytest==2\n",
        "molecule==1\npytest==4\n",
    ):
        (root / "pins.txt").write_text(text)
        assert passed.main(["tier", *command]) == 0

    assert count() == 2
    (root / "pins.txt").write_text("molecule-plugins==1\npytest==4\n")
    with pytest.raises(ValueError, match=r"pins\.txt does not pin molecule"):
        passed.main(["tier", *command])
