"""The viewer's files: which path gives which file, and what browsers may keep."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.types import Message, Scope

from crowsnest.api import pages
from crowsnest.api.app import create_app
from crowsnest.api.pages import CONTENT_SECURITY_POLICY, IMMUTABLE, REVALIDATED, Pages, PagesError
from crowsnest.api.settings import ApiSettings, SettingsError

SCRIPT = "/assets/index-Bx3f.js"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    dist = tmp_path / "dist"
    (dist / "assets").mkdir(parents=True)
    (dist / "index.html").write_text("<html>viewer</html>")
    (dist / "favicon.svg").write_text("<svg/>")
    (dist / SCRIPT.lstrip("/")).write_text("run()")
    (tmp_path / "secret.txt").write_text("secret")
    return dist


def ask(folder: Path, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer, through the whole application."""
    app: FastAPI = create_app(ApiSettings(pages=folder))
    scope: Scope = {
        "type": "http", "http_version": "1.1", "method": method, "scheme": "http", "path": path, "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()], "server": ("a", 1),
    }  # fmt: skip
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found, b"".join(message.get("body", b"") for message in sent[1:])


@pytest.mark.parametrize("path", ["/", "/logs", "/strategies/ema_cross", "/index.html"])
def test_every_page_of_the_viewer_is_its_one_document(folder, path):
    status, headers, body = ask(folder, path)
    assert (status, body) == (200, b"<html>viewer</html>")
    assert headers["content-type"].startswith("text/html")
    assert headers["cache-control"] == REVALIDATED
    assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY


def test_what_is_named_by_its_content_is_kept_for_ever_and_all_else_is_asked_for_again(folder):
    assert ask(folder, SCRIPT)[1]["cache-control"] == IMMUTABLE
    assert ask(folder, SCRIPT)[1]["content-type"].startswith("text/javascript")
    assert ask(folder, "/favicon.svg")[1]["cache-control"] == REVALIDATED
    assert ask(folder, "/favicon.svg")[1]["content-type"] == "image/svg+xml"


@pytest.mark.parametrize("path", ["/assets/index-old.js", "/none.js", "/api/none", "/assets/", "/.env"])
def test_a_file_that_is_not_there_is_no_page(folder, path):
    status, headers, _ = ask(folder, path)
    assert (status, headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("path", ["/../secret.txt", "/assets/../../secret.txt", "/%2e%2e/secret.txt", "//secret.txt"])
def test_nothing_outside_of_the_folder_is_served(folder, path):
    assert b"secret" not in ask(folder, path)[2]


def test_what_a_browser_has_is_not_sent_again(folder):
    tag = ask(folder, "/")[1]["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}'):
        status, headers, body = ask(folder, "/", **{"if-none-match": known})
        assert (status, body) == (304, b"")
        assert headers["etag"] == tag
    assert ask(folder, "/", **{"if-none-match": '"other"'})[0] == 200


def test_a_new_document_of_the_same_size_and_time_has_another_tag(folder):
    """Files of an image all have the same time."""
    index = folder / "index.html"
    before, stat = ask(folder, "/")[1]["etag"], index.stat()
    index.write_text("<html>VIEWER</html>")
    os.utime(index, (stat.st_atime, stat.st_mtime))
    assert index.stat().st_size == stat.st_size
    assert ask(folder, "/")[1]["etag"] != before


def test_head_gives_no_body_and_other_methods_nothing(folder):
    status, headers, body = ask(folder, "/", "HEAD")
    assert (status, body) == (200, b"")
    assert headers["etag"]
    assert ask(folder, "/", "POST")[0] == 405


def test_a_folder_without_a_viewer_is_named_at_the_start(tmp_path):
    with pytest.raises(PagesError, match=r"holds no index.html: build the viewer \(`make web-build`\)"):
        Pages(tmp_path)


def test_policy_allows_no_inline_code_and_no_other_host():
    assert "unsafe" not in pages.CONTENT_SECURITY_POLICY
    assert "http" not in pages.CONTENT_SECURITY_POLICY
    assert "frame-ancestors 'none'" in pages.CONTENT_SECURITY_POLICY


def test_tools_are_read_from_the_environment():
    read = ApiSettings.from_environment({"CROWSNEST_API_TOOLS": "Prometheus=/prometheus/, Alertmanager=/alertmanager/"})
    assert read.tools == (("Prometheus", "/prometheus/"), ("Alertmanager", "/alertmanager/"))
    for wrong in ("Prometheus", "Prometheus=http://elsewhere/", "=/prometheus/"):
        with pytest.raises(SettingsError, match="must be a comma list of title=/path"):
            ApiSettings.from_environment({"CROWSNEST_API_TOOLS": wrong})
