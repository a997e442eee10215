"""Every screen in every light, size and language, and what must be right in each, seen with as little work as it takes.

A screen is loaded once in a language. Its light and its size are turned where it stands: no script of ours asks for
either, and a theme that somebody chose turns nothing but `color-scheme`, as the system's does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from axe_playwright_python.base import AXE_FILE_PATH

from shared_accounts import console
from shared_accounts.console import cookies
from tests import factories
from tests.console.browser import DESK, PHONE, Watched, opened

TEMPLATES = Path(console.__file__).parent / "templates"

Way = str | tuple[str, str] | tuple[str, str, dict[str, str | None]]
"""An address; or a page and a link there that opens a dialog; or a page, a form there and what is sent by it."""

SERIOUS = ("serious", "critical")
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PLACES = ["target-size", "scrollable-region-focusable"]
TURNS = [(DESK, "light", True), (DESK, "dark", False), (PHONE, "dark", True), (PHONE, "light", False)]
WHOLE = {"en": DESK, "zh": PHONE}
"""Each size has all of axe's rules once. Another language can only break those of places, and another light of colours,
which are asked about in each of the eight looks."""

_ASK = """
async ({ look, tags, places, serious, frame }) => {
  const known = new Set(JSON.parse(sessionStorage.getItem(look) ?? '[]'));
  const way = (one) => one && [way(one.parentElement), one.tagName, one.getAttribute('class'), one.cellIndex,
    one.matches('[aria-current], [aria-pressed=true], [aria-invalid], :disabled, :checked')].join(' ');
  const says = (one) => one.matches('input, select, textarea') || [...one.childNodes].some((part) => part.nodeType === 3 && part.data.trim());
  const fresh = [...document.body.querySelectorAll('*')].filter((one) => {
    const here = says(one) && one.checkVisibility() && way(one);
    return here && !known.has(here) && known.add(here);
  });
  sessionStorage.setItem(look, JSON.stringify([...known]));

  const exclude = frame ? [] : [...document.querySelectorAll('.side, .bar, .drawer, .tabs')];
  const all = { include: [document.documentElement], exclude };
  const ask = (context, options) => axe.run(context, { resultTypes: ['violations'], preload: false, ...options });
  const { scrollWidth, clientWidth } = document.documentElement;
  const told = scrollWidth > clientWidth ? [{ violations: [{ id: 'scrolls sideways', impact: serious[0], nodes: [{ html: '' }] }] }] : [];
  if (fresh.length) told.push(await ask({ include: fresh }, { runOnly: { type: 'rule', values: ['color-contrast'] } }));
  if (tags.length) told.push(await ask(all, { runOnly: tags, rules: { 'color-contrast': { enabled: false } } }));
  else if (places.length) told.push(await ask(all, { runOnly: { type: 'rule', values: places } }));
  return told.flatMap((one) => one.violations).filter((one) => serious.includes(one.impact))
    .map((one) => `${one.id}: ${one.nodes[0].html.slice(0, 200)}`);
}
"""
"""The frame is asked about on the first screen only; colours once a look for what has the same classes all the way up."""


def templates() -> set[str]:
    """Return every template that is a page, by the name under which it is rendered."""
    pages = {f"{path.parent.name}/{path.name}" for path in TEMPLATES.glob("*/*.html") if path.parent.name != "parts"}
    return pages - {"screens/door.html", "admin/parts.html"}  # which others are made of


def looked_at(chromium: Any, home: str, lang: str, name: str = "") -> Watched:
    """Open a browser that brings axe along, so that the policy need not be lifted for it; signed in, if a name is given."""
    watched = opened(chromium, home, DESK, "light", lang, reduced_motion="reduce")
    watched.page.context.add_init_script(path=AXE_FILE_PATH)
    if name:
        watched.sign_in(name, factories.PASSWORD)
    else:
        watched.page.context.add_cookies([{"name": cookies.CHALLENGE, "value": "begun", "url": home}])
    return watched


def what_is_wrong(watched: Watched, lang: str, screens: dict[str, Way]) -> dict[str, list[str]]:
    """Look at screens one after the other, and return what is wrong with which."""
    found = {}
    for number, (screen, way) in enumerate(screens.items()):
        status = _arrived(watched, way)
        issues = [*_turned(watched, lang, number), *_complaints(watched, status)]
        if issues:
            found[screen] = issues
    watched.page.context.close()
    return found


def _arrived(watched: Watched, way: Way) -> int:
    match way:
        case (path, action, fields):
            return watched.send(path, action, fields)
        case (path, link):
            watched.go(path)
            watched.turn(DESK, "light")
            watched.page.click(f"main a[data-dialog][href='{link}']")
            watched.page.wait_for_selector("dialog[open] h1")
            return 200
    return watched.go(way)


def _turned(watched: Watched, lang: str, number: int) -> Iterator[str]:
    for size, light, asks_all in TURNS if number % 2 else reversed(TURNS):  # begin with what the last screen ended with
        watched.turn(size, light)
        look = f"{size['width']} {light}"
        asked = {
            "look": look,
            "tags": TAGS if asks_all and size == WHOLE[lang] else [],
            "places": PLACES if asks_all else [],
            "serious": SERIOUS,
            "frame": number == 0,
        }
        yield from (f"{look}: {issue}" for issue in watched.page.evaluate(_ASK, asked))


def _complaints(watched: Watched, status: int) -> list[str]:
    """Return what the browser said, but for its note that a page which is a refusal is one."""
    said = [one for one in watched.complaints if status < 400 or f"responded with a status of {status} " not in one]
    watched.complaints.clear()
    return said
