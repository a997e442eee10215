"""A stream that outgrows its reservation: more is set aside step by step, or the stream ends properly.

Invariant: what a stream on somebody else's account has carried is covered by its reservation, to within one read
of the upstream; so a member with little quota cannot take much of it by leaving out `max_tokens`.
"""

from __future__ import annotations

from shared_accounts.accounts.selection import Candidate
from shared_accounts.errors import DatabaseUnavailable
from shared_accounts.gateway import books
from shared_accounts.gateway.books import Opening
from shared_accounts.gateway.calls import Call
from shared_accounts.quotas import pricing
from shared_accounts.quotas.pricing import Tokens

_TOLERANCE = 2
"""An upstream keeps to the limit a client gives; that we guess twice the tokens is no reason to cut it off."""


class Allowance:
    """How many completion tokens one stream's reservation covers."""

    __slots__ = ("_covered", "_opening", "_prompt", "_step")

    def __init__(self, opening: Opening, candidate: Candidate | None, call: Call) -> None:
        self._opening = opening
        self._prompt = call.prompt_tokens
        self._step = call.most_completion_tokens
        is_own = candidate is None or candidate.owner_id == opening.caller.user_id
        self._covered = float("inf") if is_own else self._step * (_TOLERANCE if call.is_bounded else 1)

    def covers(self, completion: int) -> bool:
        """Tell whether so many tokens are paid for, if need be by setting more aside."""
        return completion <= self._covered or self._grow(completion)

    def _grow(self, completion: int) -> bool:
        """Reserve the next step too; while PostgreSQL is away the stream goes on, and its close tells the shortfall."""
        wanted = completion + max(self._step, completion // 4)
        estimate = pricing.cost(Tokens(self._prompt, wanted), self._opening.rule)
        try:
            held = books.raise_reservation(self._opening.id, estimate)
        except DatabaseUnavailable:
            held = True
        if held:
            self._covered = wanted
        return held
