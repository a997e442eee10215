"""/api/admin/models: which models there are, and the rules by which they are named, grouped and paid."""

from __future__ import annotations

from typing import Any

from flask_smorest.pagination import PaginationParameters
from marshmallow import ValidationError

from shared_accounts import clockwork, tasks
from shared_accounts.accounts import catalogue
from shared_accounts.accounts.catalogue import Known
from shared_accounts.admin.gate import admin_acts
from shared_accounts.admin.model_schemas import LONGEST_MODEL, ModelFilters, ModelTerms, RuledModel
from shared_accounts.auth.guards import admin_only
from shared_accounts.errors import NotFound, Unprocessable
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Done, Door, Text
from shared_accounts.quotas import rule_changes, rules
from shared_accounts.quotas.pricing import STANDARD
from shared_accounts.quotas.rules import Rules
from shared_accounts.requests_in import settings

blp = Door("admin-models", __name__, url_prefix="/api/admin/models", description="For admins: rules for models")

_NAME = Text(min=1, max=LONGEST_MODEL)
_OWN = ("model_group", "reference_tokens", "tokens_per_unit", "weights")
"""What an alias has none of."""


@blp.get("")
@admin_only
@blp.arguments(ModelFilters, location="query")
@blp.response(200, RuledModel(many=True))
@blp.paginate(page_size=50, max_page_size=200)
@blp.refuses(422)
def list_models(filters: dict[str, str], pagination_parameters: PaginationParameters) -> list[dict[str, Any]]:
    """List the models that accounts serve or rules name, by name; `laid_down` tells which of them have a rule."""
    page, part = pagination_parameters, filters["search"]
    page.item_count, rules_now = catalogue.count(part), in_force()
    return [ruled(one, rules_now) for one in catalogue.find(part, first=page.first_item, most=page.page_size)]


@blp.get("/<path:model>")
@admin_only
@blp.response(200, RuledModel)
@blp.refuses(404)
def show_model(model: str) -> dict[str, Any]:
    """Show one model, whose name may contain slashes, and the rule it follows."""
    return _looked_up(model)


@blp.put("/<path:model>")
@admin_acts
@blp.arguments(ModelTerms)
@blp.response(200, RuledModel)
@blp.refuses(422)
def lay_down_rule(body: dict[str, Any], model: str) -> dict[str, Any]:
    """Lay down the whole rule for a model: an alias of another, or its group, its group's reference and its weights.

    Requests that are under way keep the rule they began with; the quota that accounts earn follows in a moment.
    """
    name = named(model)
    changed = write(name, body)
    shown = _looked_up(name)
    db.session.commit()
    if changed:
        clockwork.soon(tasks.regroup_accounts)
    return shown


@blp.delete("/<path:model>")
@admin_acts
@blp.response(200, Done)
@blp.refuses(404)
def lift_rule(model: str) -> dict[str, Any]:
    """Give a model back to the standard rule, or forget an alias."""
    rule_changes.lift(_storable(model))
    db.session.commit()
    clockwork.soon(tasks.regroup_accounts)
    return {"message": "The rule has been lifted.", "success": True}


def write(name: str, terms: dict[str, Any]) -> bool:
    """Make of terms that a schema has read the rule for a model; returns whether it is new. The caller commits."""
    if terms["alias_of"]:
        return rule_changes.make_alias(name, terms["alias_of"])
    reference, weights = terms.get("reference_tokens", "stays"), terms["weights"] or STANDARD
    return rule_changes.lay_down(name, group=terms["model_group"], weights=weights, reference=reference)


def named(model: str) -> str:
    """Return the name as it would be taken in a body; raises `Unprocessable`."""
    try:
        return str(_NAME.deserialize(model))
    except ValidationError as error:
        raise Unprocessable(" ".join(map(str, error.messages)), field="model") from error


def _storable(model: str) -> str:
    if "\0" in model:  # PostgreSQL knows no such text
        raise NotFound
    return model


def _looked_up(model: str) -> dict[str, Any]:
    found = catalogue.get(_storable(model))
    if found is None:
        raise NotFound
    return ruled(found, in_force())


def in_force() -> Rules:
    """Return the rules as they stand now."""
    return rules.current(reference=settings().reference_allowance_tokens)


def ruled(known: Known, rules_now: Rules) -> dict[str, Any]:
    """Return a model with the rule it follows; an alias has nothing but its target."""
    alias_of, rule = rules_now.aliases.get(known.model), rules_now.of(known.model)
    shown = {"model": known.model, "accounts": known.accounts, "alias_of": alias_of}
    if alias_of is not None:
        return {**shown, "laid_down": True, **dict.fromkeys(_OWN)}
    return {
        **shown,
        "laid_down": known.model in rules_now.models,
        "model_group": rule.group,
        "reference_tokens": rules_now.references.get(rule.group),
        "tokens_per_unit": rule.reference,
        "weights": dict(zip(("prompt", "completion", "cached"), rule.weights, strict=True)),
    }
