"""What admins laid down for models: aliases, groups that share an allowance, and what tokens weigh.

Each process reads the few rows again every moment, so a change is everywhere within `supply_cache_seconds`.
Invariant: what an exchange is estimated at, reserved with and charged by is one `Rule`, the one it was opened
under, whatever becomes of the rows meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic

from sqlalchemy import select

from shared_accounts.extensions import db, statements
from shared_accounts.quotas.models import ModelRule
from shared_accounts.quotas.pricing import Rule

statements.register(
    "model_rules",
    (),
    """select model, alias_of, model_group, reference_tokens, prompt_weight, completion_weight, cached_weight
    from model_rules""",
)


class RuleBook:
    """The rules as read a moment ago; a model nobody laid anything down for follows the standard one."""

    def __init__(self, seconds: float, reference: int) -> None:
        self._seconds = seconds
        self._reference = reference
        self._until = 0.0
        self._rules: dict[str, Rule] = {}

    def of(self, model: str) -> Rule:
        """Return the rule for a model or an alias of one."""
        if self._until < monotonic():
            self.read()
        return self._rules.get(model) or Rule(model, model, self._reference)

    def read(self) -> None:
        """Read all rows now."""
        rules: dict[str, Rule] = {}
        aliases: list[tuple[str, str]] = []
        for model, alias_of, group, reference, *weights in statements.rows("model_rules"):
            if alias_of:
                aliases.append((model, alias_of))
            else:
                rules[model] = Rule(model, group or model, reference or self._reference, tuple(weights))
        rules.update({alias: rules.get(name) or Rule(name, name, self._reference) for alias, name in aliases})
        self._rules, self._until = rules, monotonic() + self._seconds


def rule_of(model: str, *, reference: int) -> Rule:
    """Return the rule for a model or an alias of one, as it stands in this transaction."""
    found = db.session.get(ModelRule, model)
    if found is not None and found.alias_of is not None:
        model, found = found.alias_of, db.session.get(ModelRule, found.alias_of)
    return _rule(found, reference) if found is not None else Rule(model, model, reference)


def groups_of(models: Iterable[str]) -> set[str]:
    """Return the groups that pay for these models, as the rules stand in this transaction."""
    names = set(models)
    laid_down = select(ModelRule.model, ModelRule.model_group).where(
        ModelRule.model.in_(names), ModelRule.model_group.is_not(None)
    )
    grouped = dict(db.session.execute(laid_down).tuples())
    return {grouped.get(name) or name for name in names}


def _rule(row: ModelRule, reference: int) -> Rule:
    weights = (row.prompt_weight, row.completion_weight, row.cached_weight)
    return Rule(row.model, row.model_group or row.model, row.reference_tokens or reference, weights)
