"""What a key may do, as a form: read by the schemas of the API, its lists line by line, its end as a day."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from marshmallow import validate

from shared_accounts.accounts.limits import Units
from shared_accounts.console import forms, show
from shared_accounts.console.forms import Errors
from shared_accounts.console.language import say
from shared_accounts.json_bodies import Text
from shared_accounts.keys.models import BUDGETS, ApiKey
from shared_accounts.keys.schemas import KeyTerms
from shared_accounts.quotas import forecast

LIMITS = ("requests_per_minute", "tokens_per_minute", "max_concurrent")
_LISTS = ("models", "addresses")
_BETWEEN = re.compile(r"[\s,;]+")
_A_DAY = timedelta(days=1)


def _units() -> Units:
    return Units(allow_none=True, validate=validate.Range(1, error="Must be more than nothing."))


class KeyForm(KeyTerms):
    """A key's name and terms; whatever is left empty is no limit."""

    name = Text(min=1, max=100, required=True)
    budget_total = _units()
    budget_five_hours = _units()
    budget_day = _units()
    budget_week = _units()
    budget_month = _units()


_EMPTY: dict[str, Any] = {
    **dict.fromkeys(("description", "expires_at", *LIMITS, *(f"budget_{one}" for one in BUDGETS))),
    **dict.fromkeys(_LISTS, ()),
}


def load() -> tuple[dict[str, Any], Errors]:
    """Return the columns that a form lays down, or what is wrong with it, field by field."""
    given = forms.values()
    read: dict[str, Any] = {
        name: value for name, value in given.items() if name in KeyForm().fields and name != "expires_at"
    }
    read |= {name: _listed(given[name]) for name in _LISTS if name in given}
    try:
        read |= {"expires_at": _end_of(given["expires_at"])} if "expires_at" in given else {}
    except ValueError:
        return {}, {"expires_at": say("Not a day.")}
    loaded, errors = forms.load(KeyForm(), read)
    return {**_EMPTY, **loaded}, errors


def filled(key: ApiKey) -> dict[str, str]:
    """Return a key's terms as the form shows them."""
    budgets = {f"budget_{one}": forecast.units(amount) for one, amount in key.budgets.items() if amount is not None}
    numbers = {name: str(getattr(key, name)) for name in LIMITS if getattr(key, name) is not None}
    texts = {"name": key.name, "description": key.description or ""}
    lists = {name: "\n".join(getattr(key, name)) for name in _LISTS}
    return {**texts, **lists, **numbers, **budgets, "expires_at": _day_of(key)}


def sent(form: Mapping[str, str]) -> dict[str, str]:
    """Return what was typed, as far as a page can hold it."""
    return {name: form.get(name, "")[:5000] for name in KeyForm().fields}


def _listed(text: str) -> list[str]:
    return [one for one in _BETWEEN.split(text) if one]


def _end_of(day: str) -> str:
    """Return the end of a day where the reader is."""
    return show.midnight(date.fromisoformat(day) + _A_DAY).isoformat()


def _day_of(key: ApiKey) -> str:
    """Return the last day on which the key is good for as long as the day lasts."""
    return "" if key.expires_at is None else (show.local(key.expires_at) - timedelta(seconds=1)).date().isoformat()
