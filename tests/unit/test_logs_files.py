"""The rotated file: nothing lost, nothing twice, whatever is killed, forked, tailed or full."""

from __future__ import annotations

import gzip
import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from crowsnest.logs.files import RotatingFileHandler, compress_and_prune, rotated_files
from crowsnest.logs.reconcile import files_of

SRC = Path(__file__).parents[2] / "src"


def wait_for_house(path: Path) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if all(file.suffix == ".gz" for file in rotated_files(path)[:-1]) and not list(path.parent.glob("*.part")):
            return
        time.sleep(0.01)
    raise AssertionError(sorted(path.parent.iterdir()))


def all_lines(path: Path) -> list[str]:
    lines: list[str] = []
    for file in files_of(path):
        content = file.read_bytes()
        lines += (gzip.decompress(content) if file.suffix == ".gz" else content).decode().splitlines()
    return lines


def test_every_line_is_kept_in_order_over_rotations(tmp_path: Path) -> None:
    path = tmp_path / "logs/backend.log"
    handler = RotatingFileHandler(path, max_bytes=1000, max_files=100)
    for number in range(500):
        handler.write_line(f"line {number:04d}")
    wait_for_house(path)
    assert all_lines(path) == [f"line {number:04d}" for number in range(500)]
    assert path.stat().st_size <= 1000
    stats = handler.stats()
    assert (stats.written, stats.failed, stats.rotations) == (500, 0, 4)
    handler.close()


def test_only_the_newest_rotated_file_is_plain_and_max_files_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "backend.log"
    handler = RotatingFileHandler(path, max_bytes=100, max_files=4)
    for number in range(100):
        handler.write_line(f"line {number:04d}")
        if number % 10 == 9:
            wait_for_house(path)
    deadline = time.monotonic() + 5
    while len(rotated_files(path)) > 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    wait_for_house(path)
    assert [file.suffix == ".gz" for file in rotated_files(path)] == [True, True, False]
    assert all_lines(path) == [f"line {number:04d}" for number in range(60, 100)]
    handler.close()


def test_a_tailer_that_follows_by_name_reads_every_line(tmp_path: Path) -> None:
    """As `tail -F`, Vector and Alloy do: read the open file to its end, then open the path anew when it is another file."""
    path = tmp_path / "backend.log"
    handler = RotatingFileHandler(path, max_bytes=2000, max_files=50)
    handler.write_line("first")
    seen: list[bytes] = []
    done = threading.Event()

    def tail() -> None:
        stream = path.open("rb")
        while True:
            finished = done.is_set()
            seen.extend(stream)
            try:
                moved = path.stat().st_ino != os.fstat(stream.fileno()).st_ino
            except FileNotFoundError:
                continue
            if moved:
                seen.extend(stream)
                # what was rotated while it read is opened by its name: it is still there, and still plain
                inode = os.fstat(stream.fileno()).st_ino
                generations, inodes = [], []
                for file in rotated_files(path):
                    with suppress(FileNotFoundError):  # an older one that was compressed just now
                        inodes.append(file.stat().st_ino)
                        generations.append(file)
                later = generations[inodes.index(inode) + 1 :] if inode in inodes else []
                stream.close()
                stream = (later[0] if later else path).open("rb")
            elif finished:
                stream.close()
                return

    thread = threading.Thread(target=tail)
    thread.start()
    for number in range(2000):
        handler.write_line(f"line {number}")
        # No promise is made to a tailer that is a whole file behind.
        deadline = time.monotonic() + 10
        while number % 20 == 0 and len(seen) < number and thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.001)
    done.set()
    thread.join(10)
    assert not thread.is_alive()
    assert handler.stats().rotations >= 5
    assert [line.rstrip(b"\n").decode() for line in seen] == ["first", *(f"line {number}" for number in range(2000))]
    handler.close()


def test_several_handlers_in_one_process_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "backend.log"
    handlers = [RotatingFileHandler(path, max_bytes=3000, max_files=500) for _ in range(4)]

    def work(worker: int) -> None:
        for number in range(300):
            handlers[worker].write_line(f"{worker} {number}")

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for_house(path)
    lines = all_lines(path)
    assert sorted(lines) == sorted(f"{worker} {number}" for worker in range(4) for number in range(300))
    assert len(rotated_files(path)) == sum(handler.stats().rotations for handler in handlers)
    # nobody rotated what another had just rotated
    sizes = [
        len(gzip.decompress(file.read_bytes())) if file.suffix == ".gz" else file.stat().st_size for file in rotated_files(path)
    ]
    assert min(sizes) > 2900
    for handler in handlers:
        handler.close()


def test_what_another_handler_rotated_is_written_to_no_more(tmp_path: Path) -> None:
    path = tmp_path / "backend.log"
    first, second = (RotatingFileHandler(path, max_bytes=40, max_files=50) for _ in range(2))
    second.write_line("second 0")
    for number in range(4):
        first.write_line(f"first line {number}")
    second.write_line("second 1")
    assert path.read_text().splitlines() == ["first line 2", "first line 3", "second 1"]
    first.close()
    second.close()


def test_who_waited_for_the_lock_does_not_rotate_again(tmp_path: Path) -> None:
    path = tmp_path / "backend.log"
    first, second = (RotatingFileHandler(path, max_bytes=20, max_files=50) for _ in range(2))
    first.write_line("0123456789")
    second._current()
    first.write_line("0123456789")
    second._rotate(5)  # decided before the other had rotated
    assert len(rotated_files(path)) == 1
    first.close()
    second.close()


WRITER = """
import sys
from contextlib import suppress
from pathlib import Path
from crowsnest.logs.files import RotatingFileHandler
handler = RotatingFileHandler(Path(sys.argv[1]), max_bytes=2000, max_files=500)
number = 0
while number < int(sys.argv[3]):
    handler.write_line(f"{sys.argv[2]} {number}")
    number += 1
    if int(sys.argv[3]) > 10_000:
        print(number, flush=True)
"""


def start_writer(path: Path, name: str, count: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), str(path), name, str(count)],
        env={**os.environ, "PYTHONPATH": str(SRC)}, stdout=subprocess.PIPE,
    )  # fmt: skip


def test_several_processes_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "backend.log"
    writers = [start_writer(path, name, 400) for name in "abc"]
    assert [writer.wait(20) for writer in writers] == [0, 0, 0]
    for writer in writers:
        assert writer.stdout
        writer.stdout.close()
    lines = all_lines(path)
    assert sorted(lines) == sorted(f"{name} {number}" for name in "abc" for number in range(400))
    assert len(rotated_files(path)) >= 2


def test_a_kill_loses_no_line_that_was_written(tmp_path: Path) -> None:
    path = tmp_path / "backend.log"
    for attempt in range(4):
        writer = start_writer(path, str(attempt), 1_000_000)
        assert writer.stdout
        reached = 0
        while reached < 150 + 90 * attempt:
            reached = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.stdout.read().splitlines()
        writer.wait(5)
        writer.stdout.close()
        reached = int(rest[-1]) if rest else reached
        mine = [int(line.split()[1]) for line in all_lines(path) if line.startswith(f"{attempt} ")]
        assert mine in (list(range(reached)), list(range(reached + 1)))


@pytest.mark.parametrize("step", ["part written", "renamed, original still there", "not begun"])
def test_compression_that_was_killed_is_finished_by_the_next_process(tmp_path: Path, step: str) -> None:
    path = tmp_path / "backend.log"
    old, newest = tmp_path / "backend.log-20260101T000000.000000Z", tmp_path / "backend.log-20260102T000000.000000Z"
    old.write_text("old\n")
    newest.write_text("newest\n")
    path.write_text("current\n")
    if step == "part written":
        old.with_name(old.name + ".gz.part").write_bytes(gzip.compress(b"old\n")[:7])
        (tmp_path / "backend.log-20250101T000000.000000Z.gz.part").write_bytes(b"of a file that is gone")
    if step == "renamed, original still there":
        old.with_name(old.name + ".gz").write_bytes(gzip.compress(b"old\n"))
    assert all_lines(path) == ["old", "newest", "current"]
    handler = RotatingFileHandler(path)
    wait_for_house(path)
    deadline = time.monotonic() + 5
    while old.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert all_lines(path) == ["old", "newest", "current"]
    assert sorted(file.name for file in tmp_path.glob("backend.log*") if "lock" not in file.name) == [
        "backend.log",
        "backend.log-20260101T000000.000000Z.gz",
        "backend.log-20260102T000000.000000Z",
    ]
    handler.close()


def test_a_clock_set_back_does_not_change_the_order(tmp_path: Path) -> None:
    path = tmp_path / "backend.log"
    future = tmp_path / "backend.log-29990101T000000.000000Z"
    future.write_text("from the future\n")
    handler = RotatingFileHandler(path, max_bytes=10, max_files=50)
    for text in ("first line", "second line", "third line"):
        handler.write_line(text)
    assert all_lines(path) == ["from the future", "first line", "second line", "third line"]
    handler.close()


def test_what_a_torn_write_left_does_not_swallow_the_next_line(tmp_path: Path) -> None:
    path = tmp_path / "backend.log"
    path.write_bytes(b'{"event":"who')
    handler = RotatingFileHandler(path)
    handler.write_line("next")
    assert path.read_text() == '{"event":"who\nnext\n'
    handler.close()


def test_a_full_disk_is_counted_and_raises_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    handler = RotatingFileHandler("/dev/full")
    handler.path = Path("/dev/full")
    for _ in range(3):
        handler.write_line("x")
    assert (handler.stats().written, handler.stats().failed) == (0, 3)
    assert "No space left" in str(handler.stats().last_error)
    assert capfd.readouterr().err.count("line not written") == 1
    handler.close()


def test_the_file_comes_back_when_somebody_removes_it(tmp_path: Path) -> None:
    path = tmp_path / "logs/backend.log"
    handler = RotatingFileHandler(path)
    handler.write_line("one")
    path.unlink()
    path.parent.rmdir() if not list(path.parent.iterdir()) else None
    handler.write_line("two")
    assert path.read_text() == "two\n"
    handler.close()


def test_as_a_handler_of_logging_a_record_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "backend.log"
    handler = RotatingFileHandler(path)
    handler.emit(logging.LogRecord("a", 20, "f", 1, "two\nlines", None, None))
    assert path.read_text() == "two\\nlines\n"
    handler.close()
    handler.emit(logging.LogRecord("a", 20, "f", 1, "late", None, None))
    assert handler.stats().failed == 1


def test_compressed_files_hold_what_the_plain_ones_did(tmp_path: Path) -> None:
    path = tmp_path / "backend.log"
    text = "\n".join(json.dumps({"event": "x" * 50, "seq": number}) for number in range(20_000)) + "\n"
    for day in ("01", "02"):
        (tmp_path / f"backend.log-202601{day}T000000.000000Z").write_text(text)
    compress_and_prune(path, 10)
    compressed, plain = rotated_files(path)
    assert gzip.decompress(compressed.read_bytes()).decode() == text == plain.read_text()


def test_bounds_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    for options in ({"max_bytes": 0}, {"max_files": 1}):
        with pytest.raises(ValueError, match="max_bytes"):
            RotatingFileHandler(tmp_path / "x.log", **options)
