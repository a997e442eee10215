"""Which language and which time a page speaks, and the catalogues it speaks from.

The catalogues are read from their sources (`.po`) as the application starts, so that there is nothing to compile.
English is the source: a message without a translation is shown in English.
"""

from __future__ import annotations

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

from shared_accounts.console.sentences import FILLED, SEVERAL, UNFIT, places

LANGUAGES = {"en": "en", "zh": "zh-CN"}
"""The languages there are, by the name they have here: what HTML calls each."""

_LOCALES = {"en": "en", "zh": "zh_CN"}
_FOLDER = Path(__file__).parent / "translations"
_LONGEST = 50


def speak(app: Flask) -> None:
    """Give the templates of an application their languages."""
    babel = Babel(app, locale_selector=lambda: _LOCALES[language()])
    with app.app_context():
        domain = babel.domain_instance
    domain.cache[str(Locale.parse(_LOCALES["zh"])), domain.domain[0]] = catalogue("zh")


def say(sentence: str, **filling: object) -> str:
    """Return a sentence in the language of this answer, with its places filled."""
    said: str = gettext(sentence, **filling)
    return _said_in_parts(sentence) if said == sentence and language() != "en" else said


def say_why(sentence: str, *, several: bool = False) -> str:
    """Return why something is refused, in this answer's language and in our words where a library chose its own.

    Of a field that holds several things, a length is their number.
    """
    for known, ours in {**UNFIT, **(SEVERAL if several else {})}.items():
        found = places(known, sentence)
        if found is not None:
            return say(ours, **{name: _figure(text) for name, text in found.items()})
    return say(sentence)


def _figure(text: str) -> str:
    return f"{int(text):,}" if text.isdecimal() else text


def _said_in_parts(sentence: str) -> str:
    for known in FILLED:
        found = places(known, sentence)
        if found is not None:
            said: str = gettext(known, **{name: say(part) for name, part in found.items()})
            return said
    return sentence


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
