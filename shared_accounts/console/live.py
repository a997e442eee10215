"""The log as it grows: server-sent events, each of them a row as the page draws it.

Invariant: between two looks a stream holds no database connection; its session is asked for anew every minute; it
changes nothing; and it ends by itself, at the latest when the worker is told to stop. A browser that still wants to
listen comes again and names the last moment it has seen, so nothing is missed in between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from threading import Event
from time import monotonic
from typing import Any
from uuid import UUID

from flask import Flask, Response, current_app, g, get_template_attribute, request

from shared_accounts.auth.guards import Person
from shared_accounts.console import asked, door, names, usage
from shared_accounts.console.door import page
from shared_accounts.errors import Forbidden, NotSignedIn, TooManyRequests
from shared_accounts.requests_in import settings
from shared_accounts.usage import lines

stopping = Event()
"""Set when this worker is to stop: its streams end with their next breath."""

LOOK_SECONDS = 1.0
_CHECK_SECONDS = 60.0
_BREATH = 10  # looks; a comment now and then, or nobody would notice that a browser has gone
_LONGEST_SECONDS = 15 * 60.0
_SLACK_SECONDS = 60.0
_LONGEST_GAP = timedelta(hours=1)
_LATE = timedelta(seconds=5)  # a line is dated when its transaction begins, and seen when that has ended
_MOST_STREAMS, _MOST_ROWS, _MOST_SEEN = 6, 50, 500
_HEADERS = {"X-Accel-Buffering": "no"}

listening: Counter[int] = Counter()


@page("/usage/live")
def live_usage() -> Response:
    """Stream the rows of exchanges as they close, those that the address asks for."""
    person: Person = g.person
    if listening[person.id] >= _MOST_STREAMS:
        raise TooManyRequests("You listen in as many places as you may.", retry_after=5)
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - Flask's way
    listener = _Listener(app, dict(request.environ), person, _since())
    listening[person.id] += 1
    response = Response(listener.events(), mimetype="text/event-stream", headers=_HEADERS)
    response.call_on_close(lambda: _leave(person.id))
    return response


@dataclass(slots=True)
class _Listener:
    """One browser that listens, as the request in which it began to."""

    app: Flask
    environ: dict[str, Any]
    person: Person
    since: datetime
    seen: dict[UUID, None] = field(default_factory=dict)

    def events(self) -> Iterator[str]:
        began = checked = monotonic()
        yield "retry: 2000\n\n"
        for look in count(1):
            if stopping.wait(LOOK_SECONDS) or monotonic() - began > _LONGEST_SECONDS:
                return
            is_due = monotonic() - checked >= _CHECK_SECONDS
            checked = monotonic() if is_due else checked
            try:
                with self.app.request_context(self.environ):
                    said = self._look(check=is_due)
            except (NotSignedIn, Forbidden):
                yield "event: over\ndata: \n\n"
                return
            if said or look % _BREATH == 0:
                yield said or ": \n\n"

    def _look(self, *, check: bool) -> str:
        """Return the rows that have come since the last look, the oldest first."""
        if check:
            door.check_again()
        else:
            g.person = self.person
        what = asked.read()
        found = lines.closed_since(what.wanted, self.since - _LATE, longest=_longest(), limit=_MOST_ROWS)
        found = [row for row in found if row[0].id not in self.seen]
        if not found:
            return ""
        self.since = max(self.since, *(line.closed_at for line, *_ in found))
        self.seen |= dict.fromkeys(line.id for line, *_ in found)
        self.seen = dict.fromkeys(list(self.seen)[-_MOST_SEEN:])
        row, named = get_template_attribute("parts/usage.html", "row"), names.accounts(usage.line_accounts(found))
        return "".join(
            f"id: {line.closed_at.isoformat()}\nevent: row\ndata: "
            f"{' '.join(row(line, user, key, named, what.others).split())}\n\n"
            for line, user, key, *_ in found
        )


def _leave(person: int) -> None:
    listening[person] -= 1
    if listening[person] <= 0:
        del listening[person]


def _longest() -> timedelta:
    """Return how long ago an exchange that closes now can have been opened."""
    limits = settings()
    return timedelta(seconds=limits.upstream_total_timeout + limits.lease_seconds + _SLACK_SECONDS)


def _since() -> datetime:
    """Return the last moment the browser has seen, an hour ago at most."""
    now = datetime.now(UTC)
    try:
        told = datetime.fromisoformat(request.headers.get("Last-Event-ID") or request.args.get("since", ""))
    except ValueError:
        return now
    return max(told, now - _LONGEST_GAP) if told.tzinfo and told <= now else now
