#!/bin/sh
# Measure the gateway beside nginx in one run; needs a C compiler, and nginx for the comparison.
cd "$(dirname "$0")" && ./run.sh --setup-only requirements-dev.txt && exec .venv/bin/python -m bench.run "$@"
