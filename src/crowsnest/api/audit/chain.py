"""The hash chain: each row's hash covers its fields and the hash of the row before.

Who changes, inserts or deletes a row has to make all later hashes anew. Against that, the newest hash is printed
(`audit head`) and logged by the running service, hence it lies in the log store as well; `audit verify --expect` compares.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

GENESIS: Final = bytes(32)
FIELDS: Final = ("seq", "time", "actor", "address", "action", "outcome", "detail")


def row_hash(previous: bytes, values: Iterable[object]) -> bytes:
    """SHA-256 of the previous hash and the values, each as text with its length before it."""
    state = hashlib.sha256(previous)
    for value in values:
        data = str(value).encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "big"))
        state.update(data)
    return state.digest()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found: how many rows, the newest hash, and the first row that is wrong, if one is."""

    rows: int
    head: bytes
    problem: str | None = None


def verify(rows: Iterable[Mapping[str, object]], expected: Mapping[int, bytes] | None = None) -> Verdict:
    """Check every row, oldest first.

    Args:
        rows: with `FIELDS`, `previous_hash` and `hash`.
        expected: hashes noted elsewhere, by seq.
    """
    head, count = GENESIS, 0
    missing = dict(expected or {})
    for row in rows:
        seq = count + 1
        if row["seq"] != seq:
            return Verdict(count, head, f"row {seq} is missing: after {count} comes {row['seq']}")
        if row["previous_hash"] != head:
            return Verdict(count, head, f"row {seq} does not continue the row before it")
        if row_hash(head, [row[name] for name in FIELDS]) != row["hash"]:
            return Verdict(count, head, f"row {seq} was changed")
        head = bytes(row["hash"])
        count = seq
        if missing.pop(seq, head) != head:
            return Verdict(count, head, f"row {seq} does not have the hash that was noted: the log was made anew")
    if missing:
        return Verdict(count, head, f"row {min(missing)} was noted and is missing: the end of the log was cut off")
    return Verdict(count, head)
