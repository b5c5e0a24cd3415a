"""InfluxDB's line protocol as Telegraf writes it: ``event field=1.5,text="a" 1763700000000000000``.

A string may have an end of line in it. Telegraf writes it as it is, and QuestDB takes the rest for another line and refuses
the batch; with a backslash before it, it is stored.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

# Of a line that is set aside, in bytes: a row is no place for more.
MOST_KEPT = 16_384
_LINE = re.compile(rb'(?:[^\n"\\=]++|\\.|="(?:[^"\\]++|\\.)*+"|["=])*+', re.DOTALL)
_NAME = re.compile(rb"(?:[^\\, ]|\\.)*+")
_STAMP = re.compile(rb" (\d{1,19})$")
_RUN = re.compile(rb'[, ]run_id="((?:[^"\\]|\\.){0,128})"')
_SEQ = re.compile(rb"[, ]seq=(-?\d{1,18})i?(?=[, ])")
_USABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,119}")


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that is not stored where it belongs, and why."""

    line: bytes
    reason: str


def split(body: bytes) -> list[bytes]:
    """The lines of a batch, each without its end, and ready for QuestDB."""
    lines = body.split(b"\n")
    # Quotes come in pairs in a line that is whole. Where they may be escaped, only reading tells.
    if b"\\" in body or any(line.count(b'"') % 2 for line in lines):
        lines = _split_with_care(body)
    return [_numbered(line) for line in lines if line.strip()]


def _split_with_care(body: bytes) -> list[bytes]:
    lines, at = [], 0
    while at < len(body):
        found = _LINE.match(body, at)
        end = found.end() if found else at
        if end == at and body[at : at + 1] != b"\n":
            # A backslash at the very end: no line can have it.
            end = len(body)
        lines.append(body[at:end].replace(b"\n", b"\\\n"))
        at = end + 1
    return lines


def _sum(line: bytes) -> int:
    """A number that is the same whenever the line comes: Telegraf writes its fields in any order."""
    return zlib.crc32(b",".join(sorted(re.split(rb"[, ]", line))))


def _numbered(line: bytes) -> bytes:
    """A line of a program that does not number its records gets its own sum as number, so that it, too, is stored once."""
    if b"seq=" in line or not (stamp := _STAMP.search(line)):
        return line
    return line[: stamp.start()] + b",seq=%di" % _sum(line) + line[stamp.start() :]


def event_of(line: bytes) -> str:
    """The event that a line tells of, which is the table's name."""
    end = line.find(b" ")
    name = line[:end] if end > 0 else line
    if b"\\" in name or b"," in name:
        found = _NAME.match(line)
        name = re.sub(rb"\\(.)", rb"\1", found[0]) if found else b""
    return name.decode(errors="replace")


def unusable(event: str) -> str | None:
    """Why an event cannot name a table, or None when it can."""
    if _USABLE.fullmatch(event):
        return None
    return "an event's name has a letter first, then letters, digits, _ and -, at most 120 of them"


def dead_letter(refused: Refused, event: str, now_ns: int) -> bytes:
    """The line that keeps a refused one, with all of it, in the table of dead letters. The same line gives the same row."""
    stamp = _STAMP.search(refused.line)
    time_ns = int(stamp[1]) if stamp and int(stamp[1]) < 2**63 else now_ns
    run, seq = _RUN.search(refused.line), _SEQ.search(refused.line)
    number = int(seq[1]) if seq else _sum(refused.line)
    kept = refused.line[:MOST_KEPT].decode(errors="replace")
    fields = [
        f"event={_quoted(event[:120])}",
        f"run_id={_quoted(run[1].decode(errors='replace') if run else '')}",
        f"seq={number}i",
        f"reason={_quoted(refused.reason[:500])}",
        f"line={_quoted(kept)}",
        f"cut={'t' if len(refused.line) > MOST_KEPT else 'f'}",
    ]
    return f"{DEAD_LETTERS} {','.join(fields)} {time_ns}".encode()


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\\n").replace("\0", "")
    return f'"{escaped}"'


DEAD_LETTERS = "dead_letters"
