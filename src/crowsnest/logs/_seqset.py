"""Sets of sequence numbers in one bit each: millions fit into memory, and a stray huge number costs one page."""

from __future__ import annotations

from collections.abc import Iterator

_PAGE_BITS = 4096
_PAGE_BYTES = _PAGE_BITS // 8


class SeqSet:
    """A set of non-negative integers."""

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}
        self._count = 0

    def add(self, seq: int) -> bool:
        """Put `seq` in; return whether it is new."""
        number, bit = divmod(seq, _PAGE_BITS)
        page = self._pages.get(number)
        if page is None:
            page = self._pages[number] = bytearray(_PAGE_BYTES)
        mask = 1 << (bit & 7)
        if page[bit >> 3] & mask:
            return False
        page[bit >> 3] |= mask
        self._count += 1
        return True

    def discard(self, seq: int) -> bool:
        """Take `seq` out; return whether it was in."""
        number, bit = divmod(seq, _PAGE_BITS)
        page = self._pages.get(number)
        mask = 1 << (bit & 7)
        if page is None or not page[bit >> 3] & mask:
            return False
        page[bit >> 3] &= ~mask
        self._count -= 1
        return True

    def __contains__(self, seq: int) -> bool:
        number, bit = divmod(seq, _PAGE_BITS)
        page = self._pages.get(number)
        return page is not None and bool(page[bit >> 3] & (1 << (bit & 7)))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        """The numbers, rising."""
        for number in sorted(self._pages):
            page = self._pages[number]
            for index in range(_PAGE_BYTES):
                if byte := page[index]:
                    base = number * _PAGE_BITS + index * 8
                    yield from (base + bit for bit in range(8) if byte >> bit & 1)

    def without(self, other: SeqSet) -> SeqSet:
        """The numbers that are in this set and not in `other`."""
        left = SeqSet()
        for number, page in self._pages.items():
            theirs = other._pages.get(number)
            mine = int.from_bytes(page, "little")
            if theirs is not None:
                mine &= ~int.from_bytes(theirs, "little")
            if mine:
                left._pages[number] = bytearray(mine.to_bytes(_PAGE_BYTES, "little"))
                left._count += mine.bit_count()
        return left

    def ranges(self, limit: int) -> list[tuple[int, int]]:
        """The first `limit` runs of consecutive numbers, as first and last."""
        runs: list[tuple[int, int]] = []
        for seq in self:
            if runs and runs[-1][1] == seq - 1:
                runs[-1] = runs[-1][0], seq
            elif len(runs) == limit:
                break
            else:
                runs.append((seq, seq))
        return runs
