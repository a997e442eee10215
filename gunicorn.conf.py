"""How gunicorn serves us. Nothing here may import the application: it would come before monkey-patching."""

import os
from typing import Any

bind = f"{os.environ.get('HOST', '127.0.0.1')}:{os.environ.get('PORT', '8008')}"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
worker_class = "gevent"
worker_connections = 4000
http_parser = "fast"  # gunicorn_h1c, a C parser: 6 % less CPU per request

# Doubles as the limit for receiving a request's headers, so never 0.
keepalive = 5
timeout = 60
# After SIGTERM streams may finish; three seconds before the master's SIGKILL we end the rest ourselves.
graceful_timeout = int(os.environ.get("GRACEFUL_TIMEOUT", "30"))
_LAST_SECONDS = 3

accesslog = None
errorlog = "-"
logger_class = "gunicorn.glogging.Logger"
control_socket_disable = True
forwarded_allow_ips = ""


def post_worker_init(worker: Any) -> None:
    """Make psycopg2 yield to other greenlets, and see to the end of streams when the worker must stop."""
    import gevent  # noqa: PLC0415 - in the worker, after monkey-patching
    from psycogreen.gevent import patch_psycopg  # noqa: PLC0415

    patch_psycopg()
    gevent.spawn(_drain, worker)


def _drain(worker: Any) -> None:
    import gevent  # noqa: PLC0415

    while worker.alive:
        gevent.sleep(0.2)
    gevent.sleep(max(0, graceful_timeout - _LAST_SECONDS))
    worker.wsgi.extensions["gateway"].watch.interrupt()
