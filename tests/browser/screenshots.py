"""Pictures of every page and state in both themes, to be looked at: `python tests/browser/screenshots.py FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from playwright.sync_api import sync_playwright

from tests.browser.support import CHROMIUM, VIEWPORT, Site
from tests.browser.test_accessibility import STATES


def main(folder: Path, chosen: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    site = Site(records=100_000)
    site.start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            for theme in ("dark", "light"):
                for state, (path, options, reach) in STATES.items():
                    if chosen and state not in chosen:
                        continue
                    site.control(mode=options.get("mode", "ok"), desk=options.get("desk", {}), rate=4, wrong_passwords=0)
                    context = browser.new_context(viewport=VIEWPORT, color_scheme=theme, timezone_id="Europe/Zurich")
                    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site.url)
                    if user := options.get("user", "anna"):
                        context.add_cookies([{"name": "crowsnest_session", "value": f"fake-{user}", "url": site.url}])
                    page = context.new_page()
                    page.goto(site.url + path)
                    reach(page)
                    page.wait_for_timeout(400)
                    page.screenshot(path=folder / f"{state.replace(' ', '-')}-{theme}.png")
                    context.close()
            browser.close()
    finally:
        site.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
