"""A real browser against a real server, and everything a page must not do, noted as it happens."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask
from werkzeug.serving import make_server

from shared_accounts.console.live import listening, stopping
from tests.gateway.scene import wait_until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MAY_BE_LEFT_OUT = CHROMIUM is None and not os.environ.get("CI")
"""Whoever has no browser is not kept from the other tests; but a run that decides something must not lack these."""

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}

_FILL_IN = """
([action, fields]) => {
  const form = document.querySelector(`form[action="${action}"]`);
  for (const [name, value] of Object.entries(fields)) {
    const [field] = form.querySelectorAll(`[name="${name}"]`);
    if (value === null) field.checked = false;
    else field.value = value;
  }
  HTMLFormElement.prototype.submit.call(form);
}
"""


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """Serve the application on a port of this machine; at the end nobody is served any more.

    A thread that outlived its test would use the next one's connection, in the middle of its transaction.
    """
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for every picture and script helps nobody
    under_way: set[object] = set()

    def counted(environ: Any, start_response: Any) -> Any:
        request = object()
        under_way.add(request)
        try:
            return app(environ, start_response)
        finally:
            under_way.discard(request)

    server = make_server("127.0.0.1", 0, counted, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        stopping.set()
        try:
            wait_until(lambda: not under_way and not listening.total(), "a request does not end", 50)
        finally:
            stopping.clear()


class Watched:
    """A page, and what it complained about or asked strangers for."""

    def __init__(self, page: Any, home: str) -> None:
        self.page = page
        self.home = home
        self.complaints: list[str] = []
        self.turned: tuple[Any, Any] = (None, None)
        page.on("console", lambda said: said.type in {"error", "warning"} and self.complaints.append(said.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._note)
        page.on("dialog", lambda dialog: (self.complaints.append(f"dialog {dialog.message}"), dialog.dismiss()))

    def _note(self, request: Any) -> None:
        if not request.url.startswith((self.home, "data:")):
            self.complaints.append(f"asked {request.url}")

    def go(self, path: str) -> int:
        """Load a page; returns the status of the answer."""
        return int(self.page.goto(self.home + path, wait_until="load").status)

    def send(self, path: str, action: str, fields: dict[str, str | None]) -> int:
        """Fill in a form of a page and send it, whatever the browser thinks of it; returns the status of the answer.

        None takes a tick away.
        """
        self.go(path)
        with self.page.expect_navigation(wait_until="load") as answered:
            self.page.evaluate(_FILL_IN, [action, fields])
        return int(answered.value.status)

    def turn(self, size: dict[str, int], light: str) -> None:
        """Look at the same page in another size or light."""
        if size != self.turned[0]:
            self.page.set_viewport_size(size)
        if light != self.turned[1]:
            self.page.emulate_media(color_scheme=light)
        self.turned = size, light

    def scrolls_sideways(self) -> bool:
        wide: bool = self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        return wide

    def sign_in(self, username: str, password: str) -> None:
        self.go("/sign-in")
        self.page.fill("#username", username)
        self.page.fill("#password", password)
        self.page.click("form .btn-primary")
        self.page.wait_for_url("**/overview")


def launched(play: Any) -> Any:
    """Start the browser; without a graphics processor, whose part it would else act at some cost."""
    arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
    return play.chromium.launch(executable_path=CHROMIUM, args=arguments)


def opened(chromium: Any, home: str, size: dict[str, int], light: str, lang: str, **options: Any) -> Watched:
    """Open a page of its own in a browser that is running."""
    context = chromium.new_context(
        viewport=size,
        color_scheme=light,
        locale={"zh": "zh-CN", "en": "en-GB"}[lang],
        timezone_id="Asia/Shanghai",
        **options,
    )
    context.set_default_timeout(60_000)  # a machine may be slow, and a test no worse for it
    return Watched(context.new_page(), home)
