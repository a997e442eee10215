"""When an upstream says it will serve again: in whichever header or sentence it says so. Pure.

Invariant: what is believed lies between a second and a day. Of several limits the longest named wait counts, and a
limit that still has something left does not count.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_SHORTEST, _LONGEST = 1.0, 24 * 3600.0
_FAMILIES = (
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
    ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
    ("anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"),
    ("anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"),
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("ratelimit-remaining", "ratelimit-reset"),
)
_A_DURATION = r"(?:\d+h)?(?:\d+m(?!s))?(?:\d+(?:\.\d+)?m?s)?"
_PARTS = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
# Google's RetryInfo and quota details, and the sentence OpenAI has in its messages.
_SAID = re.compile(
    rf'"(?:retryDelay|quotaResetDelay)"\s*:\s*"({_A_DURATION})"|(?:try again|retry) (?:in|after) ({_A_DURATION})',
    re.IGNORECASE,
)
_A_NUMBER = re.compile(r"\d{1,400}(?:\.\d+)?", re.ASCII)
_AN_EPOCH, _IN_MILLISECONDS = 1_000_000_000, 100_000_000_000


def seconds(header: Callable[[str], str | None], body: str = "") -> float | None:
    """Return how long to wait, in seconds; nothing when the upstream names no time that can be read.

    The plain words of RFC 9110 (Retry-After) come first, then what ran out, then what the body says.
    """
    waits = list(_plain(header)) or list(_ran_out(header)) or list(_said(body))
    return min(max(*waits, _SHORTEST), _LONGEST) if waits else None


def exhausted(header: Callable[[str], str | None], names: Iterable[str]) -> float | None:
    """Return how long an upstream that has just served says it will not again; nothing while it has something left.

    `names` are those of all its headers, in lower case: most say nothing of limits, and then none is looked for.
    """
    if "ratelimit" not in " ".join(names):
        return None
    waits = [wait for left, reset in _FAMILIES if header(left) == "0" for wait in _moment(header(reset))]
    return min(max(*waits, _SHORTEST), _LONGEST) if waits else None


def _plain(header: Callable[[str], str | None]) -> Iterator[float]:
    milliseconds = header("retry-after-ms") or ""
    if _A_NUMBER.fullmatch(milliseconds):
        yield float(milliseconds) / 1000
    else:
        yield from _moment(header("retry-after"), is_a_span=True)


def _ran_out(header: Callable[[str], str | None]) -> Iterator[float]:
    for left, reset in _FAMILIES:
        if header(left) in {None, "0"}:
            yield from _moment(header(reset))


def _said(body: str) -> Iterator[float]:
    for match in _SAID.finditer(body[:4096]):
        yield from _moment(match[1] or match[2])


def _moment(value: str | None, *, is_a_span: bool = False) -> Iterator[float]:
    """Yield the seconds until a moment: said as seconds, a duration, a date or, unless a span is meant, Unix time."""
    text = (value or "").strip()
    try:
        if _A_NUMBER.fullmatch(text):
            yield float(text) if is_a_span else _until(float(text))
        elif text and re.fullmatch(_A_DURATION, text):
            yield sum(float(number) * _UNITS[unit] for number, unit in _PARTS.findall(text))
        elif text:
            when = datetime.fromisoformat(text) if text[:4].isdigit() else parsedate_to_datetime(text)
            yield (when - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return


def _until(number: float) -> float:
    if number < _AN_EPOCH:
        return number
    now = datetime.now(UTC).timestamp()
    return (number / 1000 if number > _IN_MILLISECONDS else number) - now if number < _AN_EPOCH * 1e6 else _LONGEST
