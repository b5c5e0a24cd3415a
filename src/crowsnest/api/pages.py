"""The viewer's files, as they were built: read once, found by their whole name, served with headers that fit them."""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response

from crowsnest.api.problems import Problem
from crowsnest.api.settings import SettingsError

INDEX: Final = "index.html"
# The names of built assets change with their content; everything else is asked for again, and mostly answered "not modified".
IMMUTABLE: Final = "public, max-age=31536000, immutable"
REVALIDATED: Final = "no-cache"
# The viewer has no inline script or style and talks to its own origin alone.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; object-src 'none'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'"
)


class PagesError(SettingsError):
    """The folder does not hold a built viewer."""


@dataclass(frozen=True, slots=True)
class Page:
    """One file."""

    content: bytes
    media_type: str
    # Of the content: files of an image have the same time whatever they hold.
    tag: str
    caching: str


class Pages:
    """All files of a built viewer, by their path.

    Raises:
        PagesError: there is no viewer in the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._files = {f"/{path.relative_to(folder).as_posix()}": _read(path, folder) for path in _files(folder)}
        if f"/{INDEX}" not in self._files:
            raise PagesError(
                f"{folder} holds no {INDEX}: build the viewer (`make web-build`), or leave CROWSNEST_API_PAGES empty"
            )

    def find(self, path: str) -> Page | None:
        """The file of a path; None for one that looks like a file and is none. Every other path is a page of the viewer."""
        found = self._files.get(path)
        if found or path.startswith(("/api/", "/assets/")) or "." in path.rpartition("/")[2]:
            return found
        return self._files[f"/{INDEX}"]


def router(pages: Pages) -> APIRouter:
    """The pages, for every path that nothing else has taken."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/{path:path}")
    @routes.head("/{path:path}")
    async def page(request: Request) -> Response:
        found = pages.find(request.url.path)
        if found is None:
            raise Problem("not-found", "there is nothing at this address", "see /api/openapi.json")
        headers = {
            "Cache-Control": found.caching,
            "ETag": found.tag,
            "Content-Security-Policy": CONTENT_SECURITY_POLICY,
            "Referrer-Policy": "same-origin",
        }
        if found.tag in [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]:
            return Response(status_code=304, headers=headers)
        return Response(b"" if request.method == "HEAD" else found.content, media_type=found.media_type, headers=headers)

    return routes


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _read(path: Path, folder: Path) -> Page:
    content = path.read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    asset = path.relative_to(folder).parts[0] == "assets"
    media_type = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Page(content, media_type, tag, IMMUTABLE if asset else REVALIDATED)


# Not left to the machine: what an image without a list of types would guess is refused by browsers under `nosniff`.
TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
