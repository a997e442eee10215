"""Money and exact units, read and written without a rounding anywhere: integer micro-units inside, strings outside."""

from __future__ import annotations

import re
from decimal import Decimal

from shared_accounts.config import MICRO

_AMOUNT = re.compile(r"\d{1,5}(\.\d{1,6})?", re.ASCII)


def exactly(micro: int) -> str:
    """Write micro-units with all six decimals, so that what is shown adds up to the last digit."""
    whole, rest = divmod(abs(micro), MICRO)
    return f"{'-' if micro < 0 else ''}{whole}.{rest:06d}"


def by_currency(amounts: dict[str, int]) -> dict[str, str]:
    """Write an amount for each currency, by its name."""
    return {currency: exactly(amounts[currency]) for currency in sorted(amounts)}


def price(text: str) -> int:
    """Read what a million tokens cost, in micro-units; raises `ValueError` for what is no such amount."""
    if not _AMOUNT.fullmatch(text):
        raise ValueError(text)
    return int(Decimal(text) * MICRO)
