"""What one upstream is sent for a call, and how its answer is heard and said: chosen for each attempt. Pure.

A client's dialect goes through untouched where the upstream speaks it, and is OpenAI's chat everywhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from shared_accounts.accounts import presets
from shared_accounts.accounts.selection import Candidate
from shared_accounts.gateway.calls import Call, Dialect
from shared_accounts.gateway.meters import FlatMeter, PluginMeter
from shared_accounts.gateway.sse import Meter
from shared_accounts.gateway.voices import Native, Translated, Voice

_LONGEST_EVENT = 64 * 1024 * 1024


class Wording(NamedTuple):
    """Where the request goes below the base URL, its body, and fresh ears and voice for each line that is tried."""

    path: str
    body: bytes
    headers: dict[str, str]
    meter: Callable[[], Meter]
    voice: Callable[[], Voice]


def wording(call: Call, candidate: Candidate) -> Wording:
    """Return how to put this call to this account's upstream."""
    dialect = call.dialect
    if dialect is not None and candidate.dialect.also_speaks == dialect.name:
        return _native(call, candidate, dialect)
    headers = presets.BEARER.headers(candidate.credential)
    if not call.is_chat:
        meter: Callable[[], Meter] = _plain(call)
    elif candidate.preset == presets.PLUGIN:
        meter = lambda: PluginMeter(show_usage=call.show_usage, longest=_longest(call))  # noqa: E731
    else:
        meter = lambda: Meter(show_usage=call.show_usage, longest=_longest(call))  # noqa: E731
    voice = (lambda: Translated(call, dialect)) if dialect is not None else (lambda: Voice(call))
    return Wording(call.path, call.body, headers, meter, voice)


def _native(call: Call, candidate: Candidate, dialect: Dialect) -> Wording:
    return Wording(
        dialect.path,
        call.native,
        candidate.dialect.headers(candidate.credential) | call.passed_headers,
        lambda: dialect.words.Meter(show_usage=True),
        lambda: Native(call, dialect),
    )


def _plain(call: Call) -> Callable[[], Meter]:
    if call.stream:
        return lambda: Meter(show_usage=call.show_usage)
    return lambda: FlatMeter(call.most_completion_tokens)


def _longest(call: Call) -> int | None:
    """Return how long an event may be that waits for its end: to be translated it must be whole."""
    return _LONGEST_EVENT if call.dialect is not None else None
