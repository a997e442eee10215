#!/bin/sh
# Run other people's tools against the gateway: OpenAI's and Anthropic's Node clients, the AI SDK, Codex, Claude Code.
cd "$(dirname "$0")" && ./run.sh --setup-only requirements-dev.txt && exec .venv/bin/python -m tests.compat "$@"
