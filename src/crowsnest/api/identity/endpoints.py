"""`/api/auth`: sign in, sign out, who am I, tokens."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Path, Request, Response
from starlette.responses import JSONResponse

from crowsnest.api.identity.dependencies import (
    COOKIE,
    SAFE_METHODS,
    Current,
    Operator,
    address_of,
    operator,
    refuse_other_sites,
    service_of,
)
from crowsnest.api.identity.repository import SESSION_SECONDS
from crowsnest.api.identity.schemas import Credentials, Identity, MadeToken, Me, NewToken, Role, Tokens
from crowsnest.api.identity.service import csrf_token
from crowsnest.api.problems import Problem, documented
from crowsnest.api.settings import ApiSettings

router = APIRouter(prefix="/api/auth", tags=["auth"])

# What our roles are called where somebody is told of them: by Grafana.
ROLES_ELSEWHERE: Final[dict[Role, str]] = {"operator": "Admin", "viewer": "Viewer"}


def _me(request: Request, identity: Identity) -> dict[str, object]:
    settings: ApiSettings = request.app.state.settings
    return {
        "name": identity.name,
        "role": identity.role,
        "strategies": None if identity.strategies is None else list(identity.strategies),
        "csrf_token": csrf_token(identity),
        "tools": [{"title": title, "path": path} for title, path in settings.tools if identity.role == "operator"],
    }


@router.post(
    "/login",
    response_model=Me,
    responses=documented("invalid-query", "unauthenticated", "csrf", "throttled", "too-large", "too-slow"),
)
async def login(request: Request, credentials: Credentials) -> Response:
    """Sign in; the answer sets the session cookie."""
    refuse_other_sites(request)
    secret, identity = await service_of(request).login(credentials.username, credentials.password, address_of(request))
    response = JSONResponse(_me(request, identity))
    response.set_cookie(
        COOKIE,
        secret,
        max_age=SESSION_SECONDS,
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


@router.post("/logout", status_code=204, responses=documented("unauthenticated", "csrf"))
async def logout(request: Request, identity: Current) -> Response:
    """Sign out."""
    await service_of(request).logout(identity, address_of(request))
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=request.url.scheme == "https")
    return response


@router.get("/me", response_model=Me, responses=documented("unauthenticated"))
async def me(request: Request, identity: Current) -> Response:
    """Who is signed in, and the CSRF token of the session."""
    return JSONResponse(_me(request, identity))


@router.get("/verify", status_code=204, responses=documented("invalid-query", "unauthenticated", "forbidden", "csrf"))
async def verify(
    request: Request, identity: Current, role: Role = "viewer", strategies: Literal["any", "all"] = "any"
) -> Response:
    """The gateway's question about a request that it holds: may this person do that? The answer's headers say who it is.

    The held request's method is that of `X-Forwarded-Method`; what may change something must not come from another site.
    """
    if request.headers.get("x-forwarded-method", "GET").upper() not in SAFE_METHODS:
        refuse_other_sites(request)
    if role == "operator":
        await operator(identity)
    if strategies == "all" and identity.strategies is not None:
        raise Problem("forbidden", "this shows all strategies, and you may see some of them")
    shown = {"X-Webauth-User": identity.name, "X-Webauth-Role": ROLES_ELSEWHERE[identity.role]}
    return Response(status_code=204, headers=shown)


@router.get(
    "/tokens", dependencies=[Depends(operator)], response_model=Tokens, responses=documented("unauthenticated", "forbidden")
)
async def tokens(request: Request) -> Response:
    """All tokens, without their secrets."""
    return JSONResponse({"tokens": service_of(request).tokens()})


@router.post(
    "/tokens",
    status_code=201,
    response_model=MadeToken,
    responses=documented("invalid-query", "unauthenticated", "forbidden", "csrf", "conflict", "too-large", "too-slow"),
)
async def make_token(request: Request, identity: Operator, wanted: NewToken) -> Response:
    """A new token; its secret is shown only here."""
    return JSONResponse(await service_of(request).make_token(wanted, identity.name, address_of(request)), 201)


@router.delete(
    "/tokens/{token_id}",
    status_code=204,
    responses=documented("invalid-query", "unauthenticated", "forbidden", "csrf", "not-found"),
)
async def delete_token(
    request: Request, identity: Operator, token_id: Annotated[str, Path(pattern=r"^[0-9a-f]{12}$")]
) -> Response:
    """Delete a token."""
    await service_of(request).delete_token(token_id, identity.name, address_of(request))
    return Response(status_code=204)
