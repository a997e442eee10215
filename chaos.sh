#!/bin/sh
# Kill workers at random under load, restart PostgreSQL, and prove the books afterwards (about two minutes).
cd "$(dirname "$0")" && ./run.sh --setup-only requirements-dev.txt && exec .venv/bin/python -m tests.chaos "$@"
