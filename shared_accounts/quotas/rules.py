"""What admins laid down for models: aliases, groups that share an allowance, and what tokens weigh.

A group's reference is the group's: it holds for whatever model that group pays for. `rule_changes.py` lays rules down.

Each process reads the few rows again every moment, so a change is everywhere within `supply_cache_seconds`.
Invariant: what an exchange is estimated at, reserved with and charged by is one `Rule`, the one it was opened
under, whatever becomes of the rows meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text

from shared_accounts.extensions import db, statements
from shared_accounts.fresh import Fresh
from shared_accounts.quotas.pricing import STANDARD, Rule

_ALL = """
select model, alias_of, model_group, reference_tokens, prompt_weight, completion_weight, cached_weight
from model_rules"""

statements.register("model_rules", (), _ALL)


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules at one moment; a model nobody laid anything down for follows the standard one."""

    standard: int
    """The reference allowance, in weighted tokens, of a group for which none was laid down."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, tuple[str, tuple[int, int, int]]] = field(default_factory=dict)
    """By model its group and what its tokens weigh, in thousandths."""
    references: Mapping[str, int] = field(default_factory=dict)
    """By group."""

    def of(self, model: str) -> Rule:
        """Return the rule for a model or an alias of one."""
        name = self.aliases.get(model, model)
        group, weights = self.models.get(name, (name, STANDARD))
        return Rule(name, group, self.reference(group), weights)

    def reference(self, group: str) -> int:
        """Return how many weighted tokens make one unit of this group."""
        return self.references.get(group, self.standard)

    def groups(self, models: Iterable[str]) -> set[str]:
        """Return the groups that pay for what an account serves; a name that is an alias is never asked of it."""
        return {self.of(model).group for model in models if model not in self.aliases}


class RuleBook:
    """The rules as read a moment ago."""

    def __init__(self, seconds: float, reference: int) -> None:
        self._fresh = Fresh(seconds, lambda: _gathered(statements.rows("model_rules"), reference))

    def of(self, model: str) -> Rule:
        """Return the rule for a model or an alias of one."""
        return self._fresh.get().of(model)

    def read(self) -> None:
        """Read all rows now."""
        self._fresh.read()


def current(*, reference: int) -> Rules:
    """Return the rules as they stand in this transaction; `reference` is that of a group without one of its own."""
    return _gathered(db.session.execute(text(_ALL)), reference)


def rule_of(model: str, *, reference: int) -> Rule:
    """Return the rule for a model or an alias of one, as it stands in this transaction."""
    return current(reference=reference).of(model)


def _gathered(rows: Iterable[Any], standard: int) -> Rules:
    aliases, models, references = {}, {}, {}
    for model, alias_of, group, reference, *weights in rows:
        if alias_of:
            aliases[model] = alias_of
            continue
        models[model] = (group or model, tuple(weights))
        if reference:
            references[group or model] = reference
    return Rules(standard, aliases, models, references)
