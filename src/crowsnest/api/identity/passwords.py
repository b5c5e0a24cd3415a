"""Passwords: argon2id, hashed beside the event loop, a few at a time."""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MIN_CHARACTERS: Final = 12
MAX_CHARACTERS: Final = 256
_AT_ONCE: Final = 2
"""A hash takes 64 MiB and a core for some 50 ms: more at once would only be slower, and larger than the container."""

# RFC 9106's second recommended option, which the library has as its default.
_HASHER: Final = PasswordHasher()


class PasswordRefused(ValueError):
    """The password is not usable; the text says why."""


def check(password: str) -> str:
    """The password, if it may be one.

    Raises:
        PasswordRefused: it may not.
    """
    if not MIN_CHARACTERS <= len(password) <= MAX_CHARACTERS:
        raise PasswordRefused(f"a password has {MIN_CHARACTERS} to {MAX_CHARACTERS} characters, this one has {len(password)}")
    return password


def hashed(password: str) -> str:
    """The text to store."""
    return _HASHER.hash(password)


def generated() -> str:
    """A password that nobody has to think of."""
    return secrets.token_urlsafe(18)


class PasswordChecker:
    """Checks passwords in threads; a name that does not exist takes as long as one that does."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._nobody = hashed(generated())

    async def matches(self, stored: str | None, password: str) -> bool:
        """Whether the password is the stored one; with None it never is."""
        async with self._slots:
            same = await asyncio.to_thread(_verify, stored or self._nobody, password)
        return same and stored is not None


def _verify(stored: str, password: str) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False
