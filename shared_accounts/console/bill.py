"""What an exchange cost, as one would work it out by hand: tokens times weight, divided by what makes a unit.

Invariant: the arithmetic shown is the one that was charged. Where it does not come to the sum in the line, because an
admin has changed the weights since, no weights are shown.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared_accounts.quotas import pricing
from shared_accounts.quotas.pricing import Rule, Tokens
from shared_accounts.usage.models import UsageLog

_THOUSAND = 1000


@dataclass(frozen=True, slots=True)
class Item:
    """Tokens of a kind, in thousandths their weight and what they come to."""

    kind: str
    tokens: int
    weight: int

    @property
    def weighted(self) -> int:
        """Weighted tokens, in thousandths."""
        return self.tokens * self.weight


@dataclass(frozen=True, slots=True)
class Bill:
    """One exchange's; amounts in micro-units."""

    items: list[Item]
    reference: int
    cost: int
    charged: int
    reserved: int
    is_by_rule: bool
    """Whether the items, by their weights, come to the cost."""

    @property
    def weighted(self) -> int:
        """Weighted tokens in all, in thousandths."""
        return sum(item.weighted for item in self.items)

    @property
    def given_back(self) -> int:
        """What was reserved and not needed."""
        return max(0, self.reserved - self.charged)

    @property
    def uncovered(self) -> int:
        """What the pool did not hold."""
        return self.cost - self.charged


def of(line: UsageLog, rule: Rule) -> Bill:
    """Work a closed line's cost out by the rule as it stands now."""
    own = line.user_id == line.contributor_id
    tokens = Tokens(line.prompt_tokens or 0, line.completion_tokens or 0, line.cached_tokens or 0)
    is_by_rule = line.basis != "released" and line.prompt_tokens is not None
    return Bill(
        items=_items(tokens, rule.weights) if line.prompt_tokens is not None else [],
        reference=rule.reference,
        cost=line.cost,
        charged=line.charged,
        reserved=0 if own else line.estimate,
        is_by_rule=is_by_rule and pricing.cost(tokens, rule) == line.cost,
    )


def weight(thousandths: int) -> str:
    """Write a weight, or weighted tokens, without zeros at its end."""
    whole, rest = divmod(thousandths, _THOUSAND)
    return f"{whole:,}.{rest:03d}".rstrip("0").rstrip(".")


def _items(tokens: Tokens, weights: tuple[int, int, int]) -> list[Item]:
    cached = min(tokens.cached, tokens.prompt)
    found = [
        Item("prompt", tokens.prompt - cached, weights[0]),
        Item("cached", cached, weights[2]),
        Item("answer", tokens.completion, weights[1]),
    ]
    return [item for item in found if item.tokens or item.kind != "cached"]
