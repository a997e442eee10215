"""What one upstream is sent for a call, and how its answer is heard and said: chosen for each attempt. Pure.

A client's dialect goes through untouched where the upstream speaks it, and is OpenAI's chat everywhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from shared_accounts.accounts import generating, presets
from shared_accounts.accounts.selection import Candidate
from shared_accounts.gateway.calls import Call, Dialect
from shared_accounts.gateway.dialects import generate, generate_meter
from shared_accounts.gateway.dialects.events import Events
from shared_accounts.gateway.meters import EventMeter, FlatMeter, PluginMeter
from shared_accounts.gateway.sse import Meter
from shared_accounts.gateway.voices import Native, Translated, Voice

_LONGEST_EVENT = 64 * 1024 * 1024
_LONGEST_PICTURE = 16 * 1024 * 1024


class Wording(NamedTuple):
    """Where the request goes at the account's origin, its body; fresh ears and voice for each line that is tried."""

    path: str
    body: bytes
    headers: dict[str, str]
    meter: Callable[[], Meter]
    voice: Callable[[], Voice]


def understands(candidate: Candidate, call: Call) -> bool:
    """Tell whether this account's upstream can be asked at all, in whatever words."""
    return call.must_speak is None or (call.must_speak == generating.DIALECT and generating.serves(candidate))


def wording(call: Call, candidate: Candidate) -> Wording:
    """Return how to put this call to this account's upstream."""
    dialect = call.dialect
    if call.must_speak:
        place = generate.place(call, candidate)
        voice: Callable[[], Voice] = lambda: generate_meter.Voice(call)  # noqa: E731
        return Wording(place.path, call.body, place.headers, generate_meter.Meter, voice)
    if dialect is not None and candidate.dialect.also_speaks == dialect.name:
        return _native(call, candidate, dialect)
    headers = presets.BEARER.headers(candidate.credential)
    path = candidate.target.path + call.path
    if not call.is_chat:
        return Wording(path, call.body, headers, *_plain(call))
    is_plugin = candidate.preset == presets.PLUGIN
    heard = PluginMeter if is_plugin else Meter
    return Wording(
        path,
        _saying_no_stream(call.body) if is_plugin and not call.stream else call.body,
        headers,
        lambda: heard(show_usage=call.show_usage, longest=_longest(call)),
        (lambda: Translated(call, dialect)) if dialect is not None else (lambda: Voice(call)),
    )


def _saying_no_stream(body: bytes) -> bytes:
    """Say what OpenAI's clients leave out: the Plug-in API streams unless told not to.

    Where a client did say so, of two the last counts.
    """
    start = body.index(b"{") + 1
    return body[:start] + b'"stream":false,' + body[start:]


def _native(call: Call, candidate: Candidate, dialect: Dialect) -> Wording:
    return Wording(
        candidate.target.path + dialect.path,
        call.native,
        candidate.dialect.headers(candidate.credential) | call.passed_headers,
        lambda: dialect.words.Meter(show_usage=True),
        lambda: Native(call, dialect),
    )


def _plain(call: Call) -> tuple[Callable[[], Meter], Callable[[], Voice]]:
    """Return how to hear what is no chat, and how to pass it on."""
    guess = call.most_completion_tokens
    if call.is_prose:
        return lambda: Meter(show_usage=call.show_usage), lambda: Voice(call)
    if call.stream:
        return lambda: EventMeter(guess, longest=_LONGEST_PICTURE), lambda: Events(call)
    return lambda: FlatMeter(guess), lambda: Voice(call)


def _longest(call: Call) -> int | None:
    """Return how long an event may be that waits for its end: to be translated it must be whole."""
    return _LONGEST_EVENT if call.dialect is not None else None
