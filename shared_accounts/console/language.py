"""Which language and which time a page speaks, and the catalogues it speaks from.

The catalogues are read from their sources (`.po`) as the application starts, so that there is nothing to compile.
English is the source: a message without a translation is shown in English.
"""

from __future__ import annotations

import re
from datetime import tzinfo
from functools import cache
from io import BytesIO
from pathlib import Path

from babel import Locale
from babel.dates import get_timezone
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations
from flask import Flask, request
from flask_babel import Babel, gettext  # type: ignore[import-untyped]

LANGUAGES = {"en": "en", "zh": "zh-CN"}
"""The languages there are, by the name they have here: what HTML calls each."""

_NO_API = "The upstream answered %(status)s: no OpenAI-compatible API was found there."
FILLED = (
    "answered %(status)s",
    "answered %(status)s: it does not offer this",
    "answered %(status)s: the key is not valid",
    "The upstream cannot be reached: %(reason)s.",
    _NO_API,
    _NO_API + " If it keeps no list of models, name them.",
    "The upstream answered %(status)s: this credential is at its limit; try again later.",
)
"""Sentences that come from below with their places filled, where nobody knows who will read them."""

_LOCALES = {"en": "en", "zh": "zh_CN"}
_FOLDER = Path(__file__).parent / "translations"
_LONGEST = 50


def speak(app: Flask) -> None:
    """Give the templates of an application their languages."""
    babel = Babel(app, locale_selector=lambda: _LOCALES[language()])
    with app.app_context():
        domain = babel.domain_instance
    domain.cache[str(Locale.parse(_LOCALES["zh"])), domain.domain[0]] = catalogue("zh")


def say(sentence: str, **places: object) -> str:
    """Return a sentence in the language of this answer, with its places filled."""
    said: str = gettext(sentence, **places)
    return _said_in_parts(sentence) if said == sentence and language() != "en" else said


def _said_in_parts(sentence: str) -> str:
    for known in FILLED:
        found = _pattern(known).fullmatch(sentence)
        if found:
            return say(known, **{name: say(part) for name, part in found.groupdict().items()})
    return sentence


@cache
def _pattern(known: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"%\\\((\w+)\\\)s", r"(?P<\1>[^:]+)", re.escape(known)))


def language() -> str:
    """Return the language of this answer: the one that was chosen, else the first the browser asks for."""
    chosen = request.cookies.get("lang", "")
    if chosen in LANGUAGES:
        return chosen
    preferred = request.accept_languages.best_match(["en", "zh", "zh-CN", "zh-TW", "zh-HK", "zh-SG"], "en")
    return preferred.partition("-")[0]


def zone() -> tzinfo:
    """Return the reader's time zone as her browser told it, UTC until then."""
    name = request.cookies.get("zone", "")
    try:
        return get_timezone(name if 0 < len(name) <= _LONGEST else "UTC")
    except LookupError:
        return get_timezone("UTC")


@cache
def catalogue(name: str) -> Translations:
    """Read a language's catalogue."""
    with (_FOLDER / _LOCALES[name] / "LC_MESSAGES" / "messages.po").open("rb") as source:
        messages = read_po(source, locale=_LOCALES[name])
    compiled = BytesIO()
    write_mo(compiled, messages)
    compiled.seek(0)
    return Translations(compiled)
