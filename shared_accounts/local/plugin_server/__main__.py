"""The command; its secrets may come from the environment instead, which not everybody can list."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

import gevent

from shared_accounts.local.plugin_server.server import listen, make_app


def main() -> int:
    """Serve until SIGTERM or Ctrl-C."""
    options = _options()
    app = make_app(options.admin_key, options.control_token, options.keep)
    server = listen(app, options.host, options.port)
    gevent.signal_handler(signal.SIGTERM, server.stop)
    gevent.signal_handler(signal.SIGINT, server.stop)
    print(f"The Plug-in API server listens at http://{options.host}:{server.server_port}", flush=True)
    server.serve_forever()
    app.extensions["plugin_server"].keep()  # what streams consumed last
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="plugin_server", description="A Plug-in API server for tests and trial.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8045, help="0 takes any free one (default: 8045)")
    parser.add_argument("--admin-key", default=os.environ.get("PLUGIN_API_ADMIN_KEY"))
    parser.add_argument("--control-token", default=os.environ.get("PLUGIN_CONTROL_TOKEN"))
    parser.add_argument("--keep", type=Path, metavar="FILE", help="remember users and accounts in this file")
    options = parser.parse_args()
    if not options.admin_key:
        parser.error("--admin-key or PLUGIN_API_ADMIN_KEY is needed")
    return options


if __name__ == "__main__":
    sys.exit(main())
