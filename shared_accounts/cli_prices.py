"""`flask prices ...`: what models cost in money; `flask usage reprice` recomputes by it."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import click
from flask.cli import AppGroup
from marshmallow import ValidationError

from shared_accounts.admin.price_schemas import NewPrice
from shared_accounts.extensions import db
from shared_accounts.money import price_list
from shared_accounts.money.amounts import exactly
from shared_accounts.money.models import ModelPrice
from shared_accounts.usage import unpriced

prices = AppGroup("prices", help="What models cost in money, version by version.")

_NOBODY = 0


@prices.command("list")
@click.argument("model", required=False)
def list_prices(model: str | None) -> None:
    """Print every version: id, model, currency, input, output and cached per million tokens, since when; * counts."""
    for price, counts in db.session.execute(price_list.versions(model)):
        click.echo(f"{price.id:>6} {'*' if counts else ' '} {_said(price)}")


@prices.command("set")
@click.argument("model")
@click.option("--input", "input_", required=True, help="A million tokens of input.")
@click.option("--output", required=True, help="A million tokens of output.")
@click.option("--cached", help="A million tokens of cached input; as much as other input, if left out.")
@click.option("--currency", default="USD", show_default=True)
@click.option("--valid-from", help="A day or a time in ISO 8601, in UTC unless it says otherwise; now, if left out.")
def set_price(model: str, input_: str, output: str, **rest: str | None) -> None:
    """Add a version of MODEL's price."""
    given = {"model": model, "input": input_, "output": output} | {n: v for n, v in rest.items() if v is not None}
    try:
        terms: dict[str, Any] = NewPrice().load(given)
    except ValidationError as error:
        wrong = "; ".join(f"{name}: {' '.join(map(str, why))}" for name, why in dict(error.messages_dict).items())
        raise click.ClickException(wrong) from error
    cached = terms["input"] if terms["cached"] is None else terms["cached"]
    amounts = terms["input"], terms["output"], cached
    price, is_new = price_list.lay_down(
        terms["model"], currency=terms["currency"], amounts=amounts, since=terms["valid_from"], actor_id=None
    )
    db.session.commit()
    click.echo(f"{'Laid down' if is_new else 'Nothing to do'}: {price.id} {_said(price)}")


@prices.command("unpriced")
def list_unpriced() -> None:
    """Print the models whose tokens were used without a price, the most used first."""
    for one in unpriced.models(_NOBODY):
        hint = "  (has a price now: flask usage reprice)" if one["has_price"] else ""
        click.echo(f"{one['unpriced_requests']:>8}  {one['model']}{hint}")


def _said(price: ModelPrice) -> str:
    amounts = "  ".join(exactly(amount) for amount in (price.prompt, price.completion, price.cached))
    since = price.valid_from.astimezone(UTC).isoformat(timespec="seconds")
    return f"{price.model}  {price.currency}  {amounts}  since {since}"
