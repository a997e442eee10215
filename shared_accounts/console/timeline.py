"""Where an exchange's time went, on one scale: choosing, each attempt, and the answer."""

from __future__ import annotations

from dataclasses import dataclass

from shared_accounts.usage.models import UsageLog


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of time, in milliseconds from the beginning; `account_id` says on which account it was spent."""

    kind: str
    begin: int
    end: int
    account_id: int | None = None

    @property
    def length(self) -> int:
        """How long it took."""
        return self.end - self.begin


def parts(line: UsageLog) -> list[Part]:
    """Return the parts in their order; what is not known, because its worker was lost, is left out."""
    total = line.total_ms
    if total is None:
        return []
    attempts = [(one["account_id"], max(0, int(one["ms"])), one["result"] == "served") for one in line.attempts]
    answered = min(total, line.first_byte_ms if line.stream and line.first_byte_ms is not None else total)
    chosen = max(0, answered - sum(length for _, length, _ in attempts)) if attempts else total
    found, at = [Part("choose", 0, chosen)], chosen
    for account_id, length, served in attempts:
        found.append(Part("served" if served else "tried", at, min(total, at + length), account_id))
        at = min(total, at + length)
    if line.stream and attempts and attempts[-1][2]:
        found.append(Part("stream", at, total))
    elif total > at:
        found.append(Part("rest", at, total))
    return found
