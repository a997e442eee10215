"""How a move of quota between people is refused; the details say what would have been possible."""

from __future__ import annotations

from shared_accounts.errors import Conflict, Forbidden, TooManyRequests


class GiftsOff(Forbidden):
    """Nobody gives here: GIFT_DAILY_LIMIT is 0."""

    code = "GIFTS_OFF"
    message = "Gifts are switched off here."


class GiftLimitReached(TooManyRequests):
    """More than may be given in a day; `retry_after` is the next midnight (UTC), none if it is too much for any day."""

    code = "GIFT_LIMIT_REACHED"


class QuotaOwed(Conflict):
    """A pool in debt neither gives nor receives; gifts would launder the debt."""

    code = "QUOTA_OWED"


class NotEnoughQuota(Conflict):
    """More than is free; `details` says how much is."""

    code = "NOT_ENOUGH_QUOTA"


class DoesNotFit(Conflict):
    """Beyond what the pool can hold, or below what it has reserved; `details` says the bounds."""

    code = "DOES_NOT_FIT"
