"""How we ask the Plug-in API: one question, one JSON object, over kept connections and within its time.

Invariant: out comes the object, `PluginRefused` or `PluginUnreachable`, and nothing else; a question ends when its time
is over, however slowly the answer drips. What may count twice is never sent twice. No redirect is followed, and no
credential shows: not in a log, not in a `repr`, not in what a refusal says.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Timer
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

import orjson

from shared_accounts.outbound.addresses import Guard
from shared_accounts.outbound.line import Line
from shared_accounts.outbound.wire import Unreachable, Wire, request_head
from shared_accounts.plugin import reading
from shared_accounts.plugin.failures import PluginRefused, PluginUnreachable

log = logging.getLogger(__name__)

_MB = 1024 * 1024
_CONNECT_SECONDS = 5.0
_IDLE_SECONDS = 4.0
_CREDENTIAL = re.compile(r"[\x21-\x7e]{1,1024}")
_MAY_BE_SENT_TWICE = {"GET", "PUT"}
_HAS_A_BODY = {"POST", "PUT"}
_LONGEST_SEGMENT = 200


@dataclass(frozen=True, slots=True)
class Limits:
    """How many seconds an answer may fall silent and may take in all, and how many bytes it may have."""

    gap: float
    total: float
    longest: int


MANAGEMENT = Limits(gap=60.0, total=90.0, longest=8 * _MB)
GENERATION = Limits(gap=600.0, total=600.0, longest=64 * _MB)
"""An image takes the Plug-in up to ten minutes, in which it says nothing."""


class PluginConnection:
    """The Plug-in API at one address, for any number of credentials; one per process is enough.

    The address is the operator's word: it may be private, and plain http. Raises `Unprocessable` for one that is no
    base URL. `naive_is_utc` says that the Plug-in's process runs in UTC, so that its times without a zone can be read.
    """

    def __init__(
        self,
        base_url: str,
        *,
        naive_is_utc: bool = False,
        management: Limits = MANAGEMENT,
        generation: Limits = GENERATION,
    ) -> None:
        guard = Guard([_host(base_url)])
        self._target = guard.parse(base_url)
        self._wire = Wire(guard, connect_timeout=_CONNECT_SECONDS)
        self.naive_is_utc = naive_is_utc
        self.management = management
        self.generation = generation

    def __repr__(self) -> str:
        return f"<PluginConnection to {self._target.origin.authority}>"

    def ask(
        self,
        method: str,
        path: str,
        *,
        credential: str,
        body: Mapping[str, Any] | None = None,
        limits: Limits | None = None,
    ) -> dict[str, Any]:
        """Ask once; a POST or PUT always has a JSON body, for the Plug-in stumbles over none."""
        asked = limits or self.management
        try:
            return self._exchange(method, self._request(method, path, credential, body or {}), credential, asked)
        except PluginRefused as refused:
            log.info("plug-in api refused", extra={"method": method, "status": refused.status, "kind": refused.kind})
            raise
        except PluginUnreachable as failure:
            log.warning(
                "plug-in api unreachable", extra={"method": method, "reason": str(failure.__cause__ or failure)}
            )
            raise

    def close(self) -> None:
        """Let go of the connections nobody is using; the next question makes one."""
        self._wire.sweep()

    def _exchange(self, method: str, request: bytes, credential: str, limits: Limits) -> dict[str, Any]:
        # The Plug-in's server closes what was idle for five seconds; who lets go first meets no closed door.
        self._wire.sweep(_IDLE_SECONDS)
        with _Conversation(limits.total, may_be_repeated=method in _MAY_BE_SENT_TWICE) as conversation:
            try:
                answer = self._wire.exchange(self._target.origin, request, limits.gap, hold=conversation.hold)
                said = answer.read_all(limits.longest)
            except Unreachable as error:
                raise PluginUnreachable(timed_out=error.timed_out or conversation.is_over) from error
        if conversation.is_over:  # where a body ends with its connection, cutting it off looks like its end
            raise PluginUnreachable(timed_out=True)
        return reading.result(answer.status, said, secret=credential, retry_after=answer.header("retry-after"))

    def _request(self, method: str, path: str, credential: str, body: Mapping[str, Any]) -> bytes:
        headers = {"authorization": f"Bearer {credential}", "accept": "application/json"}
        sent = orjson.dumps(body) if method in _HAS_A_BODY else b""
        if sent:
            headers |= {"content-type": "application/json", "content-length": str(len(sent))}
        return request_head(method, self._target.origin, self._target.path + path, headers) + b"\r\n" + sent


def _host(base_url: str) -> str:
    """Return whom the operator allowed by naming her; nobody, for what the guard is about to refuse."""
    try:
        return (urlsplit(base_url).hostname or "").rstrip(".")
    except ValueError:
        return ""


class _Conversation:
    """Ends when its time is up, from another thread or greenlet; what may count twice has one line, no second."""

    def __init__(self, seconds: float, *, may_be_repeated: bool) -> None:
        self._timer = Timer(seconds, self._end)
        self._timer.daemon = True
        self._line: Line | None = None
        self._may_be_repeated = may_be_repeated
        self.is_over = False

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._line is not None:
            self._line.close()  # unless it was read to its end: then it is kept, and no longer ours

    def hold(self, line: Line) -> None:
        """Take the line about to be used, the second one if the first turned out to be stale."""
        if self._line is not None and not self._may_be_repeated:
            line.close()
            raise Unreachable("the connection broke")
        self._line = line
        if self.is_over:
            line.shut()

    def _end(self) -> None:
        self.is_over = True
        if self._line is not None:
            self._line.shut()


def credential(text: str) -> str:
    """Return a credential that fits into a header; raises `ValueError`, without it, for one that does not."""
    if not _CREDENTIAL.fullmatch(text):
        raise ValueError("a Plug-in API credential has characters no header can hold, or none at all")
    return text


def path(*segments: str, verb: str = "", **query: str | int | None) -> str:
    """Join a path of segments that are encoded, a verb that is not, and what of the query has a value.

    A name that nothing there can have is refused as unknown, without asking: `..` would lead somebody in between to
    another route.
    """
    asked = urlencode({name: value for name, value in query.items() if value is not None})
    return "".join(f"/{_segment(segment)}" for segment in segments) + verb + (f"?{asked}" if asked else "")


def _segment(name: str) -> str:
    if name in {"", ".", ".."} or len(name) > _LONGEST_SEGMENT:
        raise PluginRefused(404, "There is no such resource.")
    return quote(name, safe="", errors="replace")
