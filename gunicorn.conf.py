"""How gunicorn serves us. Nothing here may import the application: it would come before monkey-patching."""

import gc
import mmap
import os
from typing import Any

from dotenv import dotenv_values
from gunicorn.http.errors import ObsoleteFolding

_environ = {**dotenv_values(".env"), **os.environ}
bind = f"{_environ.get('HOST', '127.0.0.1')}:{_environ.get('PORT', '8008')}"
workers = int(_environ.get("WEB_CONCURRENCY", "2"))
worker_class = "shared_accounts.worker.Worker"  # gevent's; knows nothing of the application
worker_connections = 4000
http_parser = "fast"  # gunicorn_h1c, a C parser: 6 % less CPU per request

# Doubles as the limit for receiving a request's headers, so never 0.
keepalive = 5
timeout = 60
# After SIGTERM streams may finish; three seconds before the master's SIGKILL we end the rest ourselves.
graceful_timeout = int(_environ.get("GRACEFUL_TIMEOUT", "30"))
_LAST_SECONDS = 3

# Requests have lines of ours; whoever turns gunicorn's on as well gets neither query strings nor addresses' secrets.
accesslog = None
access_log_format = "%(h)s %(m)s %(s)s %(D)s"
errorlog = "-"
logger_class = "gunicorn.glogging.Logger"
control_socket_disable = True
forwarded_allow_ips = ""

# Each worker counts in a row of its own; those of before a reload keep theirs until they are gone.
_ROWS, _ROW_BYTES = 64, 32_768


def on_starting(server: Any) -> None:
    """Set memory aside in which every worker counts and each can read what the others have counted."""
    server.counts = mmap.mmap(-1, _ROWS * _ROW_BYTES)


def pre_fork(server: Any, worker: Any) -> None:
    """Give the worker the first free row: the place of one that died, whose counts it carries on."""
    taken = {other.row for other in server.WORKERS.values()}
    worker.counts = server.counts
    worker.row = next((row for row in range(_ROWS) if row not in taken), None)


def pre_request(_worker: Any, req: Any) -> None:
    """Refuse a line that goes on in the next one, as gunicorn's own parser does; the C parser calls it a header "".

    Whoever reads such a line as a header of its own would see another length, and another request behind it.
    """
    for name, _ in req.headers:
        if not name:
            raise ObsoleteFolding(name)


def post_worker_init(worker: Any) -> None:
    """Make psycopg2 yield to other greenlets, and see to the end of streams when the worker must stop."""
    import gevent  # noqa: PLC0415 - in the worker, after monkey-patching

    from shared_accounts.green import make_psycopg2_yield  # noqa: PLC0415
    from shared_accounts.logs import adopt_server  # noqa: PLC0415
    from shared_accounts.metrics import sampler  # noqa: PLC0415
    from shared_accounts.metrics.board import board  # noqa: PLC0415

    adopt_server()
    make_psycopg2_yield()
    if worker.row is not None:
        board.share(worker.counts, worker.row, _ROWS)
    # What lives as long as the worker need not be searched for garbage, and little of the rest is (5 % of a chat).
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gevent.spawn(sampler.run, worker.wsgi)
    gevent.spawn(_drain, worker)


def _drain(worker: Any) -> None:
    import gevent  # noqa: PLC0415

    from shared_accounts.console import live  # noqa: PLC0415

    while worker.alive:
        gevent.sleep(0.2)
    live.stopping.set()
    gevent.sleep(max(0, graceful_timeout - _LAST_SECONDS))
    worker.wsgi.extensions["gateway"].watch.interrupt()
