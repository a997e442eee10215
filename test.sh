#!/bin/sh
# Check everything: ./test.sh   (arguments go to pytest: ./test.sh -k quota)
set -eu
CDPATH="" cd -P "$(dirname "$0")"

./run.sh --setup-only requirements-dev.txt
# A browser for console tests will be installed here once there are any.

.venv/bin/python -m ruff check .
.venv/bin/python -m ruff format --check .
.venv/bin/python -m mypy --strict shared_accounts
# Each process has a PostgreSQL and a Redis of its own; three keep two cores busy, for many tests only wait.
exec .venv/bin/python -m pytest -n 3 --dist loadfile "$@"
