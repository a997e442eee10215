"""Send a call to one account's upstream, and tell a refusal from an answer (specification section 6).

A refusal says, as data, whose fault it was: blame follows its kind, never a guess at a message.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

from shared_accounts.accounts.selection import Candidate
from shared_accounts.gateway import hints
from shared_accounts.gateway.calls import Call
from shared_accounts.gateway.wording import Wording, wording
from shared_accounts.outbound.line import Line
from shared_accounts.outbound.wire import Answer, Unreachable, Wire, request_head

CREDENTIAL, LIMIT, FAULT, CALLER = "credential", "limit", "fault", "caller"
LACKS = "lacks"
"""The upstream does not offer what was asked for: nobody's fault, and no reason not to chat with it."""
GONE = "gone"
"""The account's owner has withdrawn it meanwhile: nobody's fault, and no word of the upstream's."""

_LONGEST_REFUSAL = 256 * 1024
_CALLERS_OWN = {400, 413, 415, 422}
_QUOTA_WORDS = re.compile(r"quota|rate.?limit|too many requests|resource.?exhausted|billing|credit", re.IGNORECASE)
_PLUGIN_WORDS = re.compile("配额.*(已耗尽|不足)|没有可用的账号")  # the Plug-in API says both with 500
_CONTENT_WORDS = re.compile(r"flagged|moderation|content.?(?:policy|filter)", re.IGNORECASE)
_BAN_WORDS = re.compile(r"suspend|deactivat|banned|disabled", re.IGNORECASE)
_CREDENTIAL_WORDS = re.compile(r"key|credential|auth|token|permission|suspend|deactivat|account", re.IGNORECASE)


@dataclass(slots=True)
class UpstreamRefused(Exception):
    """An account did not serve: whose fault (`kind`), the status, a short reason, and seconds until it may again."""

    kind: str
    reason: str
    status: int | None = None
    retry_after: float | None = None
    timed_out: bool = False
    body: bytes = b""
    """The upstream's own words, kept only where they are the caller's to read."""


def send(wire: Wire, candidate: Candidate, call: Call, *, hold: Callable[[Line, Wording], None]) -> Answer:
    """Send the call; returns an answer that is 200 and of the kind asked for, else raises `UpstreamRefused`.

    What is no chat's stream may come whole: some models do not stream, and say so by not doing it. Raises
    `Unreachable` when no answer comes. It sets no timer: `hold` gives the line to a watchdog.
    """
    said = wording(call, candidate)
    headers = said.headers | {
        "content-type": call.content_type,
        "accept": _accepted(call),
        "content-length": str(len(said.body)),
    }
    target = candidate.target
    request = request_head("POST", target.origin, said.path, headers) + b"\r\n" + said.body
    answer = wire.exchange(target.origin, request, None, hold=lambda line: hold(line, said))
    if answer.status != HTTPStatus.OK:
        body = answer.read_all(_LONGEST_REFUSAL)
        raise (None if call.is_chat else _peculiar(answer.status, body)) or _refusal(answer, body)
    if call.stream and call.is_chat and not is_stream(answer):
        raise _not_a_stream(answer)
    return answer


def is_stream(answer: Answer) -> bool:
    """Tell whether an answer is one of events."""
    return "event-stream" in (answer.header("content-type") or "")


def _accepted(call: Call) -> str:
    if call.stream:
        return "text/event-stream" if call.is_chat else "text/event-stream, */*"
    return "application/json" if call.is_chat else "*/*"


def unreachable(error: Unreachable, *, lost: str | None) -> UpstreamRefused:
    """Tell a broken connection as a refusal; `lost` says why it was we who broke it, if it was."""
    if lost == "withdrawn":
        return UpstreamRefused(GONE, "its owner withdrew it")
    late = lost == "late"
    return UpstreamRefused(FAULT, "did not answer in time" if late else error.reason, timed_out=late or error.timed_out)


def refused_by_error(frame: dict[str, Any]) -> UpstreamRefused:
    """Tell a 200 that began with an error as the refusal it is."""
    words = str(frame.get("error"))
    kind = LIMIT if _QUOTA_WORDS.search(words) else FAULT
    return UpstreamRefused(kind, "answered 200 with an error", status=200)


def parsed(body: bytes) -> dict[str, Any] | None:
    """Return a JSON answer's object, nothing when it is none."""
    try:
        frame = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return frame if isinstance(frame, dict) else None


def frames(body: bytes) -> list[dict[str, Any]]:
    """Return the objects of a JSON answer, which may be a list of them; none when it is neither."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return []
    listed = found if isinstance(found, list) else [found]
    return listed if all(isinstance(one, dict) for one in listed) else []


def _peculiar(status: int, body: bytes) -> UpstreamRefused | None:
    """Tell what a refusal of something else than a chat means, where it is not the same as for a chat.

    An upstream without this endpoint answers 404, and one without this model does: but in JSON, and says so.
    Google refuses a key with 400.
    """
    frame = parsed(body)
    is_missing = status == HTTPStatus.NOT_FOUND and (frame is None or b"model" not in body.lower())
    if is_missing or status in {HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED}:
        return UpstreamRefused(LACKS, f"answered {status}: it does not offer this", status=status)
    if status == HTTPStatus.BAD_REQUEST and frame is not None and "API_KEY_INVALID" in _reasons(frame.get("error")):
        return UpstreamRefused(CREDENTIAL, f"answered {status}: the key is not valid", status=status)
    return None


def _reasons(error: object) -> list[object]:
    """Return the machine-readable reasons in Google's error details; free text is the caller's to forge."""
    details = error.get("details") if isinstance(error, dict) else None
    return [one.get("reason") for one in details if isinstance(one, dict)] if isinstance(details, list) else []


def _refusal(answer: Answer, body: bytes) -> UpstreamRefused:
    status = answer.status
    words = body[:4096].decode("utf-8", "replace")
    seconds = hints.seconds(answer.header, words)
    if status in _CALLERS_OWN or _is_callers(status, body, words):
        return UpstreamRefused(CALLER, f"answered {status}", status=status, body=body)
    forbidden = status == HTTPStatus.FORBIDDEN
    if status in {402, 429} or (forbidden and _QUOTA_WORDS.search(words)) or _PLUGIN_WORDS.search(words):
        return UpstreamRefused(LIMIT, f"answered {status}", status=status, retry_after=seconds)
    if status == HTTPStatus.UNAUTHORIZED or (forbidden and _CREDENTIAL_WORDS.search(words)):
        return UpstreamRefused(CREDENTIAL, f"answered {status}", status=status)
    return UpstreamRefused(FAULT, f"answered {status}", status=status, retry_after=seconds)


def _is_callers(status: int, body: bytes, words: str) -> bool:
    """Tell a refusal of the request from one of the account, where the status alone does not say."""
    if status == HTTPStatus.NOT_FOUND:
        return parsed(body) is not None  # without JSON it is a wrong base URL
    # A prompt that was flagged must not be held against whoever shares the account.
    return status == HTTPStatus.FORBIDDEN and bool(_CONTENT_WORDS.search(words)) and not _BAN_WORDS.search(words)


def _not_a_stream(answer: Answer) -> UpstreamRefused:
    frame = parsed(answer.read_all(_LONGEST_REFUSAL))
    if frame and frame.get("error"):
        return refused_by_error(frame)
    return UpstreamRefused(FAULT, "did not stream", status=200)
