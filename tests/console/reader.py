"""What a browser without scripts does: follow links, fill in forms, keep cookies."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

from flask import Flask
from werkzeug.test import TestResponse

from tests import factories

PAGE = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}


class Form:
    """A form as it stands: where it goes, and what it sends if nobody touches it."""

    def __init__(self, attributes: dict[str, str | None]) -> None:
        self.action = attributes.get("action") or ""
        self.method = attributes.get("method") or "get"
        self.fields: dict[str, Any] = {}
        self.names: set[str] = set()
        self.written: set[str] = set()  # what a person fills in, whatever she likes

    def take(self, tag: str, attributes: dict[str, str | None]) -> None:
        name, kind = attributes.get("name"), attributes.get("type", "text")
        if not name:
            return
        self.names.add(name)
        if tag == "textarea" or (tag == "input" and kind not in {"hidden", "submit", "radio", "checkbox", "file"}):
            self.written.add(name)
        if tag == "input" and (kind not in {"radio", "checkbox"} or "checked" in attributes):
            value = attributes.get("value") or ""
            self.fields[name] = [*self.fields.get(name, []), value] if kind == "checkbox" else value


class Page(HTMLParser):
    """What stands in a page."""

    def __init__(self, answer: TestResponse) -> None:
        super().__init__(convert_charrefs=True)
        self.status = answer.status_code
        self.headers = answer.headers
        self.source = answer.get_data(as_text=True)
        self.location = answer.headers.get("Location", "")
        self.forms: list[Form] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._form: Form | None = None
        self._select = ""
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag == "form":
            self._form = Form(attributes)
            self.forms.append(self._form)
        elif self._form and tag in {"input", "button", "select", "textarea"}:
            self._form.take(tag, attributes)
            self._select = attributes.get("name") or ""
        elif self._form and tag == "option" and "selected" in attributes:
            self._form.fields[self._select] = attributes.get("value")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def form(self, action: str) -> Form:
        found = [form for form in self.forms if form.action == action]
        assert found, [form.action for form in self.forms]
        return found[0]

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


class Reader:
    """Somebody with a browser."""

    def __init__(self, app: Flask, **cookies: str) -> None:
        self.client = app.test_client()
        for name, value in cookies.items():
            self.client.set_cookie(name, value)

    def get(self, path: str, **options: Any) -> Page:
        return Page(self.client.get(path, headers={**PAGE, **options.pop("headers", {})}, **options))

    def post(self, path: str, fields: dict[str, Any] | None = None, **options: Any) -> Page:
        return Page(self.client.post(path, data=fields, headers={**PAGE, **options.pop("headers", {})}, **options))

    def send(self, page: Page, action: str, **fields: Any) -> Page:
        """Fill a form of a page in and send it."""
        return self.post(action, {**page.form(action).fields, **fields})

    def follow(self, page: Page) -> Page:
        """Go where an answer leads."""
        assert page.status == 303, (page.status, page.text[:300])
        parts = urlsplit(page.location)
        return self.get(f"{parts.path}?{parts.query}" if parts.query else parts.path)

    def sign_in(self, username: str, password: str = factories.PASSWORD) -> Page:
        return self.send(self.get("/sign-in"), "/sign-in", username=username, password=password)

    def cookie(self, name: str) -> str | None:
        found = self.client.get_cookie(name)
        return found.value if found else None
