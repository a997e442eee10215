"""What an exchange cost in money, by the price of its model that counted when it was opened.

Invariant: a line's money is its tokens by the very version it names, to the micro-unit. Each process reads the few
rows again every moment, as it does with the rules for models: so the statement that closes an exchange is only told two
numbers more. Versions that are to come are read with the seconds left until then, by the database's clock: a change
of price that was laid down in time is kept to the moment, whatever a worker's clock says.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic

from shared_accounts.extensions import statements
from shared_accounts.fresh import Fresh

_A_MILLION = 1_000_000

statements.register(
    "model_prices",
    (),
    """select model, extract(epoch from valid_from - now())::double precision, id, currency, prompt, completion, cached
    from model_prices price
    where valid_from > now() or id = (
        select id from model_prices where model = price.model and valid_from <= now()
        order by valid_from desc, id desc limit 1)
    order by valid_from desc, id desc""",
)


@dataclass(frozen=True, slots=True)
class Price:
    """One version: micro-units of a currency for a million tokens of each kind."""

    id: int
    currency: str
    prompt: int
    completion: int
    cached: int

    def of(self, prompt: int, completion: int, cached: int) -> int:
        """Return what so many tokens cost, in micro-units, to the nearest one; cached tokens are part of the prompt.

        `SQL` says the same.
        """
        cached = min(cached, prompt)
        total = (prompt - cached) * self.prompt + cached * self.cached + completion * self.completion
        return (total + _A_MILLION // 2) // _A_MILLION


SQL = f"""
div((prompt_tokens - least(coalesce(cached_tokens, 0), prompt_tokens)) * price.prompt::numeric
    + least(coalesce(cached_tokens, 0), prompt_tokens) * price.cached::numeric
    + coalesce(completion_tokens, 0) * price.completion::numeric + {_A_MILLION // 2}, {_A_MILLION})::bigint"""
"""What the tokens of a usage line cost by the row `price`."""


Versions = dict[str, list[tuple[float, Price]]]
"""By model, the latest first: since when by this worker's clock, and the price."""


class PriceBook:
    """The prices as read a moment ago."""

    def __init__(self, seconds: float) -> None:
        self._fresh = Fresh(seconds, _read)

    def of(self, model: str) -> Price | None:
        """Return the version that counts now; None for a model that has no price."""
        versions = self._fresh.get().get(model)
        if versions is None:
            return None
        now = monotonic()
        return next((price for since, price in versions if since <= now), None)


def _read() -> Versions:
    now = monotonic()
    found: Versions = {}
    for model, seconds, *terms in statements.rows("model_prices"):
        found.setdefault(model, []).append((now + seconds, Price(*terms)))
    return found
