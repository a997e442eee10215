"""The command: `python -m shared_accounts.local.demo PORT`; `--gap 0` takes no time between two words."""

from __future__ import annotations

import argparse

from gevent.pywsgi import WSGIServer

from shared_accounts.local.demo.server import make_app

_GAP = 0.03

parser = argparse.ArgumentParser(prog="demo", description="A demo upstream.")
parser.add_argument("port", type=int)
parser.add_argument("--gap", type=float, default=_GAP, help=f"seconds between two words of a stream ({_GAP})")
options = parser.parse_args()

WSGIServer(("127.0.0.1", options.port), make_app(options.gap), log=None).serve_forever()
