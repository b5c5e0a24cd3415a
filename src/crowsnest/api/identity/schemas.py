"""The shapes of the identity API's questions and answers, and who somebody is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from crowsnest.api.identity.passwords import MAX_CHARACTERS

Role = Literal["viewer", "operator"]
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
Strategy = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who has signed in, or a machine's token.

    Attributes:
        name: of the user; a token's begins with `token:`.
        role: what it may do.
        strategies: those it may see; None means all.
        session: the cookie's text; None for a token.
    """

    name: str
    role: Role
    strategies: tuple[str, ...] | None
    session: str | None = None


class Credentials(BaseModel):
    """Of `/api/auth/login`."""

    model_config = ConfigDict(extra="forbid")

    username: Annotated[str, Field(min_length=1, max_length=64)]
    password: Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)]


class Tool(BaseModel):
    """Pages of another component, behind the same gateway."""

    title: str
    path: str


class Me(BaseModel):
    """Who is signed in."""

    name: str
    role: Role
    strategies: list[str] | None
    csrf_token: Annotated[str, Field(description="for the header X-CSRF-Token; empty for a token, which needs none")]
    tools: Annotated[list[Tool], Field(description="what an operator may open besides the viewer")]


class NewToken(BaseModel):
    """Of `POST /api/auth/tokens`."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    role: Role = "viewer"
    strategies: Annotated[list[Strategy], Field(min_length=1, max_length=100)] | None = None
    expires_days: Annotated[int, Field(ge=1, le=3650)] | None = 90


class Token(BaseModel):
    """A token as it can be shown."""

    id: str
    name: str
    role: Role
    strategies: list[str] | None
    created_by: str
    created: str
    expires: str | None


class MadeToken(Token):
    """A token with its secret, which is shown once."""

    token: str


class Tokens(BaseModel):
    """All tokens."""

    tokens: list[Token]
