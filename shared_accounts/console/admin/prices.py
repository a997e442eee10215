"""What models cost in money: a list that only grows, and which models are used without a price."""

from __future__ import annotations

from typing import Any

from flask import g, render_template, request

from shared_accounts.admin import prices_api
from shared_accounts.admin.price_schemas import NewPrice, PriceFilters
from shared_accounts.console import forms
from shared_accounts.console.admin import news
from shared_accounts.console.admin.gate import admin_act, admin_page
from shared_accounts.console.forms import Errors
from shared_accounts.errors import ServiceError
from shared_accounts.extensions import db
from shared_accounts.usage import unpriced

_PAGE = 50
_FILLED = ("model", "currency", "input", "output", "cached")


@admin_page("/prices")
def prices() -> Any:
    """List the versions of prices, by model, the latest first."""
    number = forms.number("page")
    filters = forms.filters(PriceFilters())
    found, count = prices_api.listed(number, _PAGE, **filters)
    return render_template(
        "admin/prices.html",
        prices=found,
        unpriced=unpriced.models(g.person.id),
        filters=filters,
        count=count,
        number=number,
        pages=-(-count // _PAGE),
        news=news.told(),
    )


@admin_page("/prices/new")
def new_price() -> Any:
    """Ask for a price."""
    return _asked({})


@admin_act("/prices")
def lay_down_price() -> Any:
    """Add a version of a model's price, valid from now."""
    given, errors = forms.load(NewPrice(exclude=("valid_from",)), forms.values())
    if errors:
        return _asked(errors), 422
    try:
        _, is_new = prices_api.put({**given, "valid_from": None})
    except ServiceError as refusal:
        db.session.rollback()
        return _asked(forms.wrong(refusal, otherwise="model")), refusal.status
    db.session.commit()
    return news.tell("prices", "priced" if is_new else "same")


def _asked(errors: Errors) -> str:
    filled = {name: request.values.get(name, "")[:200] for name in _FILLED}
    return render_template("admin/price_new.html", errors=errors, filled=filled)
