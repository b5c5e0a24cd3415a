"""What endpoints ask for: who asks, and from where."""

from __future__ import annotations

import hmac
from typing import Annotated, Final

from fastapi import Depends, Request

from crowsnest.api.identity.schemas import Identity
from crowsnest.api.identity.service import IdentityService, csrf_token
from crowsnest.api.problems import Problem

COOKIE: Final = "crowsnest_session"
CSRF_HEADER: Final = "x-csrf-token"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def address_of(request: Request) -> str:
    """The client's address, as the trusted proxy says."""
    return request.client.host if request.client else "unknown"


def service_of(request: Request) -> IdentityService:
    """The application's identity service."""
    service: IdentityService = request.app.state.identity
    return service


def refuse_other_sites(request: Request) -> None:
    """Refuse what a browser sends on behalf of another site.

    Raises:
        Problem: it does.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Problem("csrf", "the request comes from another site", "use this site's own pages")


async def current(request: Request) -> Identity:
    """Who asks: by bearer token, or by session cookie with the CSRF header where something may change.

    Raises:
        Problem: nobody who is known, or not confirmed.
    """
    service = service_of(request)
    authorization = request.headers.get("authorization")
    if authorization is not None:
        scheme, _, text = authorization.partition(" ")
        identity = service.of_token(text.strip()) if scheme.lower() == "bearer" else None
        if identity is None:
            raise Problem("unauthenticated", "the token is not valid", "make a new token", {"WWW-Authenticate": "Bearer"})
        return identity
    secret = request.cookies.get(COOKIE)
    identity = await service.use_session(secret) if secret else None
    if identity is None:
        detail = "the session is over" if secret else "there is no session and no token"
        raise Problem("unauthenticated", detail, headers={"WWW-Authenticate": "Bearer"})
    if request.method not in SAFE_METHODS:
        refuse_other_sites(request)
        if not hmac.compare_digest(request.headers.get(CSRF_HEADER, "").encode(), csrf_token(identity).encode()):
            raise Problem("csrf", "the header X-CSRF-Token is missing or wrong")
    return identity


Current = Annotated[Identity, Depends(current)]


async def operator(identity: Current) -> Identity:
    """Who asks, if that is an operator.

    Raises:
        Problem: it is not.
    """
    if identity.role != "operator":
        raise Problem("forbidden", f"this needs the role operator, {identity.name} is a {identity.role}")
    return identity


Operator = Annotated[Identity, Depends(operator)]
