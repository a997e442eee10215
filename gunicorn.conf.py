"""How gunicorn serves us. Nothing here may import the application: it would come before monkey-patching."""

import gc
import os
from typing import Any

from dotenv import dotenv_values

_environ = {**dotenv_values(".env"), **os.environ}
bind = f"{_environ.get('HOST', '127.0.0.1')}:{_environ.get('PORT', '8008')}"
workers = int(_environ.get("WEB_CONCURRENCY", "2"))
worker_class = "gevent"
worker_connections = 4000
http_parser = "fast"  # gunicorn_h1c, a C parser: 6 % less CPU per request

# Doubles as the limit for receiving a request's headers, so never 0.
keepalive = 5
timeout = 60
# After SIGTERM streams may finish; three seconds before the master's SIGKILL we end the rest ourselves.
graceful_timeout = int(_environ.get("GRACEFUL_TIMEOUT", "30"))
_LAST_SECONDS = 3

accesslog = None
errorlog = "-"
logger_class = "gunicorn.glogging.Logger"
control_socket_disable = True
forwarded_allow_ips = ""


def post_worker_init(worker: Any) -> None:
    """Make psycopg2 yield to other greenlets, and see to the end of streams when the worker must stop."""
    import gevent  # noqa: PLC0415 - in the worker, after monkey-patching

    from shared_accounts.green import make_psycopg2_yield  # noqa: PLC0415

    make_psycopg2_yield()
    # What lives as long as the worker need not be searched for garbage, and little of the rest is (5 % of a chat).
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gevent.spawn(_drain, worker)


def _drain(worker: Any) -> None:
    import gevent  # noqa: PLC0415

    while worker.alive:
        gevent.sleep(0.2)
    gevent.sleep(max(0, graceful_timeout - _LAST_SECONDS))
    worker.wsgi.extensions["gateway"].watch.interrupt()
