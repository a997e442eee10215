"""What an exchange leaves behind in the worker's memory when it is over."""

from __future__ import annotations

import gc
import weakref

import gevent.socket
import pytest

from shared_accounts.gateway import chat
from shared_accounts.gateway.exchange import Exchange
from shared_accounts.users.roster import Caller
from tests.quotas.sharing import opening

ASKED = b'{"model":"m","messages":[{"role":"user","content":"Hello"}]}'


@pytest.fixture
def hers():
    """Our side of a client's connection, as gunicorn has it."""
    ours, theirs = gevent.socket.socketpair()
    with ours, theirs:
        yield ours


@pytest.fixture
def _no_collector():
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_collector")
def test_an_exchange_is_gone_when_it_is_over_without_the_collector(app, hers):
    call = chat.parse(ASKED, stream_by_default=False, default_completion_tokens=100)
    caller = Caller(1, "active", False, False, None, None, None)
    exchange = Exchange(app.extensions["gateway"], opening(caller, 0), call)
    exchange.watch_client(hers)
    remains = weakref.ref(exchange)

    exchange.finish("served", status=200)
    exchange.close()
    del exchange

    assert remains() is None
