"""Which models there are, and the rules by which they are named, grouped and paid."""

from __future__ import annotations

from typing import Any

from flask import render_template, request

from shared_accounts import clockwork, tasks
from shared_accounts.accounts import catalogue
from shared_accounts.admin import models_api
from shared_accounts.admin.model_schemas import LONGEST_MODEL, ModelFilters, ModelTerms
from shared_accounts.console import forms
from shared_accounts.console.admin import news
from shared_accounts.console.admin.gate import admin_act, admin_page
from shared_accounts.console.forms import Errors
from shared_accounts.console.language import say
from shared_accounts.errors import Unprocessable
from shared_accounts.extensions import db
from shared_accounts.quotas import rule_changes

_PAGE = 50
_WEIGHTS = ("prompt", "completion", "cached")
_TERMS = ("alias_of", "model_group", "reference_tokens")


@admin_page("/models")
def models() -> Any:
    """List the models that accounts serve or rules name."""
    number = forms.number("page")
    part = forms.filters(ModelFilters()).get("search", "")
    count, rules_now = catalogue.count(part), models_api.in_force()
    found = catalogue.find(part, first=(number - 1) * _PAGE, most=_PAGE)
    return render_template(
        "admin/models.html",
        models=[models_api.ruled(one, rules_now) for one in found],
        filters={"search": part},
        count=count,
        number=number,
        pages=-(-count // _PAGE),
        standard=rules_now.standard,
        news=news.told(),
    )


@admin_page("/models/rule")
def model_rule() -> Any:
    """Ask for the rule of a model; what is in force is filled in."""
    name = request.args.get("model", "")[:LONGEST_MODEL].replace("\0", "")
    known = catalogue.get(name) if name else None
    return _asked(name, _terms_of(models_api.ruled(known, models_api.in_force())) if known else {}, {})


@admin_act("/models/rule")
def lay_down_rule() -> Any:
    """Lay down the whole rule for a model; what is under way keeps the rule it began with."""
    given: dict[str, Any] = dict(forms.values())
    body: dict[str, Any] = {name: given.get(name) for name in _TERMS}
    if body["alias_of"] is None:
        body["weights"] = {name: given[name] for name in _WEIGHTS if name in given} or None
    terms, errors = forms.load(ModelTerms(), body)
    try:
        name = models_api.named(given.get("model", ""))
        if errors:
            return _asked(given.get("model", ""), given, errors), 422
        changed = models_api.write(name, terms)
    except Unprocessable as refusal:
        db.session.rollback()
        return _asked(given.get("model", ""), given, forms.wrong(refusal, otherwise="model")), refusal.status
    db.session.commit()
    if changed:
        clockwork.soon(tasks.regroup_accounts)
    return news.tell("models", "ruled")


@admin_act("/models/lift")
def lift_rule() -> Any:
    """Give a model back to the standard rule, or forget an alias."""
    rule_changes.lift(forms.values().get("model", ""))
    db.session.commit()
    clockwork.soon(tasks.regroup_accounts)
    return news.tell("models", "lifted")


def _terms_of(rule: dict[str, Any]) -> dict[str, Any]:
    """Return a rule as its form shows it."""
    weights = rule.get("weights") or {}
    shown = {name: f"{weights[name] / 1000:g}" for name in _WEIGHTS if name in weights}
    own = rule["model_group"] if rule["model_group"] != rule["model"] else ""
    return {**rule, **shown, "model_group": own, "reference_tokens": rule["reference_tokens"] or ""}


def _asked(name: str, filled: dict[str, Any], errors: Errors) -> str:
    told = {**errors, "prompt": errors.get("weights", "")}
    refused = say("This is not a name for a model.") if errors.get("model") else ""
    standard = models_api.in_force().standard
    return render_template(
        "admin/model_rule.html", model=name, filled=filled, errors=told, refused=refused, standard=standard
    )
