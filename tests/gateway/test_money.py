"""What an exchange cost in money stands on its line when it is closed, by the version its worker knew when it began."""

from __future__ import annotations

import itertools

import pytest

from shared_accounts.extensions import db
from shared_accounts.money import price_list
from tests.gateway.scene import Scene
from tests.upstream import answers

_numbers = itertools.count(1)
USAGE = {"prompt_tokens": 100, "completion_tokens": 50, "prompt_tokens_details": {"cached_tokens": 40}}


@pytest.fixture(scope="module")
def server(forgetful):
    return forgetful


@pytest.fixture
def quick(database, server):
    """A scene at a worker that remembers no price."""
    return Scene(server, f"priced-{next(_numbers)}")


def lay_down(model, *amounts):
    found, _ = price_list.lay_down(model, amounts=amounts, currency="USD", since=None, actor_id=None)
    db.session.commit()
    return found.id


@pytest.mark.parametrize("stream", [False, True])
def test_a_line_bears_the_version_and_what_its_tokens_cost_by_it(quick, upstream, stream):
    quick.account(upstream(answers(usage=USAGE)))
    price = lay_down(quick.model, 2_000_000, 8_000_000, 500_000)

    assert quick.ask(stream=stream).status == 200

    line = quick.line()
    assert (line["price_id"], line["money"]) == (price, 60 * 2 + 50 * 8 + 40 // 2)


def test_a_model_without_a_price_costs_nothing_that_is_known(quick, upstream):
    quick.account(upstream(answers(usage=USAGE)))

    assert quick.ask().status == 200

    line = quick.line()
    assert (line["prompt_tokens"], line["price_id"], line["money"]) == (100, None, None)


def test_what_was_not_served_has_no_price(quick):
    lay_down(quick.model, 2_000_000, 8_000_000, 500_000)
    quick.account(None)

    assert quick.ask().status == 502

    line = quick.line()
    assert (line["price_id"], line["money"]) == (None, None)
