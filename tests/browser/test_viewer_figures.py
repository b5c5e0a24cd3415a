"""How fast the viewer is and what it holds; the figures are printed in the summary.

Limits are those of a person's machine where they can be: a browser that draws without a graphics card on two shared
cores is slower, so there the frame time is printed and bounded loosely.
"""

from __future__ import annotations

import gzip
import re
import statistics
import time

from tests.browser.support import DIST, eventually, row_texts, rows
from tests.figures import figure

FIRST_ROW_MS = 500
MAX_DOM_ROWS = 60
HELD = 100_000
TAIL_RATE = 1_000
FRAME_MS = 16.7
LOADED_FRAME_MS = 50
FIRST_LOAD_KIB = 200

RECORD_FRAMES = """(seconds) => new Promise((resolve) => {
  const frames = [];
  let last = performance.now();
  const end = last + seconds * 1000;
  function frame(now) {
    frames.push(now - last);
    last = now;
    if (now < end) requestAnimationFrame(frame); else resolve(frames.slice(1));
  }
  requestAnimationFrame(frame);
})"""

SCROLL_ON = """() => {
  const list = document.querySelector('.list');
  const step = () => {
    list.scrollTop += 60;
    if (window.going) requestAnimationFrame(step);
  };
  window.going = true;
  step();
}"""

WATCH_FIRST_ROW = """() => {
  const look = () => {
    if (document.querySelector('.list-body [role=row]')) window.firstRowMs = performance.now();
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def test_the_first_row_is_there_in_half_a_second(page):
    page.context.add_init_script(f"({WATCH_FIRST_ROW})()")
    taken = []
    for _ in range(7):
        page.goto(page.url)
        taken.append(eventually(lambda: page.evaluate("() => window.firstRowMs")))
    figure(
        "viewer: first row after navigation, warm, median / worst of 7", f"{statistics.median(taken):.0f} / {max(taken):.0f} ms"
    )
    # Other work on the machine only adds to it.
    assert min(taken) <= FIRST_ROW_MS


def test_a_hundred_thousand_records_are_held_with_few_in_the_page(page):
    page.goto(page.url + "?start=24h&live=0")
    row_texts(page)
    most = 0

    def everything() -> bool:
        nonlocal most
        page.locator(".list").focus()
        page.keyboard.press("End")
        most = max(most, rows(page).count())
        return held() >= HELD - 2_000 and page.get_by_text(re.compile("No older|are held")).is_visible()

    def held() -> int:
        return int(page.locator(".status b").first.inner_text().replace(",", ""))

    begun = time.monotonic()
    eventually(everything, seconds=240)
    figure("viewer: records held", f"{held():,}, loaded by paging in {time.monotonic() - begun:.0f} s")
    frames = []
    page.locator(".list").hover()
    for _ in range(3):
        page.evaluate("() => { document.querySelector('.list').scrollTop = Math.random() * 2e6 }")
        page.evaluate(SCROLL_ON)
        frames += page.evaluate(RECORD_FRAMES, 2)
        page.evaluate("() => { window.going = false }")
        most = max(most, rows(page).count())
    heap = page.evaluate("() => performance.memory.usedJSHeapSize") / 1e6
    figure("viewer: rows in the page with 100,000 held, at most", most)
    figure(
        "viewer: frame while scrolling through them, p50 / p95",
        f"{quantile(frames, 0.5):.1f} / {quantile(frames, 0.95):.1f} ms",
    )
    figure("viewer: script heap with 100,000 held", f"{heap:.0f} MB")
    assert held() >= HELD - 2_000
    assert most <= MAX_DOM_ROWS


def test_a_tail_of_a_thousand_a_second_leaves_time_for_frames(page, site):
    page.locator(".live-streaming").wait_for()
    idle = page.evaluate(RECORD_FRAMES, 3)
    before = int(page.locator(".status b").first.inner_text().replace(",", ""))
    site.control(rate=TAIL_RATE)
    page.wait_for_timeout(2_000)
    frames = page.evaluate(RECORD_FRAMES, 10)
    site.control(rate=0)
    page.wait_for_timeout(1_000)
    arrived = int(page.locator(".status b").first.inner_text().replace(",", "")) - before
    figure("viewer: frame without traffic, p50 / p95", f"{quantile(idle, 0.5):.1f} / {quantile(idle, 0.95):.1f} ms")
    figure(
        f"viewer: frame at {TAIL_RATE:,} records/s, p50 / p95 / p99 (goal {FRAME_MS} ms)",
        f"{quantile(frames, 0.5):.1f} / {quantile(frames, 0.95):.1f} / {quantile(frames, 0.99):.1f} ms",
    )
    assert arrived > 8 * TAIL_RATE, "the tail was shown"
    assert rows(page).count() <= MAX_DOM_ROWS
    assert quantile(frames, 0.5) <= LOADED_FRAME_MS


def test_the_first_load_is_small():
    page = (DIST / "index.html").read_text()
    files = [DIST / "index.html", *(DIST / name.lstrip("/") for name in re.findall(r'(?:src|href)="(/[^"]+)"', page))]
    kib = sum(len(gzip.compress(file.read_bytes(), 9)) for file in files) / 1024
    figure("viewer: first load, gzipped", f"{kib:.1f} KiB of {FIRST_LOAD_KIB}")
    assert len(files) >= 3
    assert kib <= FIRST_LOAD_KIB
