#!/bin/sh
# ./bench.sh [--quick]   measures the gateway beside nginx, Portkey and LiteLLM; ./bench.sh growth [...] measures what a
# million keys and ten million lines cost; ./bench.sh --help and docs/benchmarks.md say more. Needs a C compiler.
cd "$(dirname "$0")" && ./run.sh --setup-only requirements-dev.txt || exit
case "${1:-}" in
    growth) shift && exec .venv/bin/python -m bench.growth "$@" ;;
    *) exec .venv/bin/python -m bench.run "$@" ;;
esac
