"""Every metric that workers count, on one page. Labels are words of ours: never a user, key, account or model.

Measured: an exchange costs 4 µs here, however long its answer, of some 1000 µs that it costs in all.
"""

from __future__ import annotations

from shared_accounts.metrics.board import board
from shared_accounts.metrics.meters import OTHER, Counter, Gauge, Histogram

_OUTCOMES = ("served", "broken", "timed_out", "client_left", "interrupted", "outgrown", "failed", OTHER)
_BASES = ("measured", "estimated", "partial", "released", OTHER)
_ENDPOINTS = (
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/moderations",
    "/v1/rerank",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/images/variations",
    "/v1/audio/speech",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/models/<path:model>:generateContent",
    "/v1/models/<path:model>:streamGenerateContent",
    "/v1beta/models/<path:model>:generateContent",
    "/v1beta/models/<path:model>:streamGenerateContent",
    "/api/plugin-api/chat/completions",
    OTHER,
)
_STREAM = ("false", "true")
_REFUSALS = (400, 401, 402, 403, 404, 408, 413, 422, 429, 500, 502, 503, 504, 529)
_RESULTS = (
    "served",
    *(f"answered {status}" for status in _REFUSALS),
    "answered 200 with an error",
    "did not stream",
    "did not answer in time",
    "timed out",
    "no connection could be made",
    "the connection broke",
    "the connection closed early",
    "its owner withdrew it",
    OTHER,
)
_MILLISECONDS = (10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000)
_MICROSECONDS = (1000, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000)

EXCHANGES = Counter(
    board,
    "exchanges",
    "Exchanges closed by web workers, by how they ended and on what basis they were billed.",
    outcome=_OUTCOMES,
    basis=_BASES,
    endpoint=_ENDPOINTS,
    stream=_STREAM,
)
ATTEMPTS = Counter(board, "attempts", "Accounts tried, by what came of it.", result=_RESULTS)
FIRST_BYTE = Histogram(
    board,
    "first_byte_seconds",
    "From the beginning of an exchange to its upstream's first byte.",
    scale=1000,
    bounds=_MILLISECONDS,
    stream=_STREAM,
)
DURATION = Histogram(
    board,
    "exchange_seconds",
    "From the beginning of an exchange to its end.",
    scale=1000,
    bounds=_MILLISECONDS,
    stream=_STREAM,
)
RESPONSES = Counter(
    board,
    "responses",
    "Answers by class of status, health checks included.",
    status=("2xx", "3xx", "4xx", "5xx", OTHER),
)
HUB_LAG = Histogram(
    board,
    "hub_lag_seconds",
    "How much later than asked a worker's event loop wakes who slept a quarter of a second.",
    scale=1_000_000,
    bounds=_MICROSECONDS,
)
OPEN = Gauge(board, "open_exchanges", "Exchanges under way.", stream=_STREAM)
UNSETTLED = Gauge(board, "unsettled_exchanges", "Exchanges that are over and wait for PostgreSQL to be settled.")
CONNECTIONS = Gauge(
    board, "database_connections", "Connections to PostgreSQL in use, by pool.", pool=("session", "statement")
)
WAITING = Gauge(board, "database_waiting", "Who waits for a connection of the pool of prepared statements.")
WORKERS = Gauge(board, "workers", "Web workers that live.")

GAUGES = (OPEN, UNSETTLED, CONNECTIONS, WAITING, WORKERS)
CATALOGUE = (EXCHANGES, ATTEMPTS, FIRST_BYTE, DURATION, RESPONSES, HUB_LAG, *GAUGES)
