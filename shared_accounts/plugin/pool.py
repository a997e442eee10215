"""What `/api/plugin-api/*` can be asked, whoever answers: our own pool or a Plug-in API server.

The answers are the Plug-in API's JSON objects, `{"success", "message"?, "data"?}`: amounts of quota as strings, times
as ISO 8601 with an offset, `cookie_id` for an account's id. A method raises `ServiceError` and commits nothing; to ask
for an account that is unknown or somebody else's raises `NotFound`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Departure:
    """Where to consent: an address that will carry our `state`, what to keep for the return, and for how many seconds.

    What is kept may be of use to a thief, so it never leaves the server.
    """

    address: Callable[[str], str]
    kept: dict[str, Any]
    seconds: int


@dataclass(frozen=True, slots=True)
class Span:
    """Which consumption to list: the newest so many, from a moment on, until right before another."""

    limit: int
    since: datetime | None = None
    until: datetime | None = None


class PluginPool(Protocol):
    """The pool behind the Plug-in API's routes, for one of our users at a time."""

    def key(self, user_id: int) -> Answer:
        """Return by what a user is known to the pool, without any secret; raises `NotFound` when she is not yet."""

    def depart(self, user_id: int, *, is_shared: int) -> Departure:
        """Begin to add an account by consent."""

    def arrive(self, user_id: int, kept: dict[str, Any], code: str) -> Answer:
        """Finish what `depart` began, with the provider's code; the account is the user's."""

    def accounts(self, user_id: int) -> Answer:
        """Return a user's accounts, newest first."""

    def account(self, user_id: int, cookie_id: str) -> Answer:
        """Return one of a user's accounts."""

    def delete(self, user_id: int, cookie_id: str) -> Answer:
        """Take an account out for good."""

    def set_status(self, user_id: int, cookie_id: str, status: int) -> Answer:
        """Let an account serve (1) or pause it (0)."""

    def set_name(self, user_id: int, cookie_id: str, name: str) -> Answer:
        """Rename an account."""

    def set_type(self, user_id: int, cookie_id: str, is_shared: int) -> Answer:
        """Share an account (1) or keep it for its owner (0)."""

    def account_quotas(self, user_id: int, cookie_id: str) -> Answer:
        """Return what is left of an account, per model, least first."""

    def set_model_status(self, user_id: int, cookie_id: str, model_name: str, status: int) -> Answer:
        """Let an account serve a model (1) or not (0); raises `NotFound` for a model that it never served."""

    def user_quotas(self, user_id: int) -> Answer:
        """Return a user's quota pools, fullest first."""

    def shared_pool(self, user_id: int) -> Answer:
        """Return what all shared accounts have left, per model, and what this user has consumed in all."""

    def consumption(self, user_id: int, span: Span) -> Answer:
        """Return what a user consumed, newest first."""

    def consumption_stats(self, user_id: int, model_name: str) -> Answer:
        """Return a user's sums for one model."""

    def preference(self, user_id: int) -> Answer:
        """Return the user, and whether shared accounts go first for her."""

    def set_preference(self, user_id: int, prefer_shared: int) -> Answer:
        """Let shared accounts go first (1) or her own (0)."""

    def generate_content(self, user_id: int, model: str, body: dict[str, Any]) -> Answer:
        """Make images, in Gemini's own shape."""


def success(data: object = None, message: str | None = None) -> Answer:
    """Wrap what went well, as the Plug-in API does."""
    said = {} if message is None else {"message": message}
    return {"success": True, **said, **({} if data is None else {"data": data})}


def moment(at: datetime) -> str:
    """Write a time as the Plug-in API does, in UTC and to the millisecond, but with its offset."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds")
