#!/bin/sh
# Check everything: ./test.sh   (arguments go to pytest: ./test.sh -k quota)
set -eu
CDPATH="" cd -P "$(dirname "$0")"

./run.sh --setup-only requirements-dev.txt

has_a_browser() {
    command -v chromium || command -v chromium-browser || command -v google-chrome
}

if ! has_a_browser >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing Chromium, which the console's tests drive ..."
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y chromium >/dev/null || true
fi
if ! has_a_browser >/dev/null; then
    echo "test.sh: THERE IS NO CHROMIUM HERE, SO THE CONSOLE IS NOT LOOKED AT IN A BROWSER." >&2
    echo "test.sh: install it and run this again (Debian: apt-get install chromium; macOS: Google Chrome will do)." >&2
    # A run that decides whether a change is good must not leave anything out.
    [ -z "${CI:-}" ] || exit 1
fi

# Half of what a run starts are processes of ours: whatever the environment says, source is compiled once and kept.
export PYTHONDONTWRITEBYTECODE=

.venv/bin/python -m ruff check .
.venv/bin/python -m ruff format --check .
.venv/bin/python -m mypy --strict shared_accounts
# Each process has a PostgreSQL and a Redis of its own; four keep two cores busy, for many tests only wait.
exec .venv/bin/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder "$@"
