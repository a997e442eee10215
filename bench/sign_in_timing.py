"""Ask whether the time of a refused sign-in tells who exists here.

    .venv/bin/python -m bench.sign_in_timing [--rounds 40]

Unknown names, wrong passwords, people without a password and disabled people sign in by turns, through the whole
application on real servers. For each kind the median is compared with that of the unknown names, and a Mann-Whitney
test says whether one is systematically slower: p < 0.01 would be a tell.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import tempfile
import time
from pathlib import Path

import flask_migrate
from cryptography.fernet import Fernet

from shared_accounts import create_app
from shared_accounts.config import load
from shared_accounts.local.servers import Postgres, Redis, create_database, free_port
from tests import factories

ROOT = Path(__file__).parent.parent
KINDS = {
    "unknown": None,
    "wrong password": {"password": factories.PASSWORD},
    "by SSO only": {},
    "disabled": {"password": factories.PASSWORD, "state": "disabled"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        postgres, redis = Postgres(Path(folder, "postgres"), free_port()), Redis(Path(folder, "redis"), free_port())
        try:
            postgres.start()
            redis.start()
            create_database(postgres.url("postgres"), "timing")
            report(measure(postgres.url("timing"), redis.url(), rounds))
        finally:
            redis.stop()
            postgres.destroy()


def measure(database_url: str, redis_url: str, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each refused sign-in, by kind."""
    app = create_app(load(_environment(database_url, redis_url)))
    with app.app_context():
        flask_migrate.upgrade(directory=str(ROOT / "migrations"))
        for kind, fields in KINDS.items():
            if fields is not None:
                factories.user(username=kind, **fields)
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    client = app.test_client()
    for _ in range(rounds):
        for kind in random.sample(list(KINDS), len(KINDS)):
            started = time.perf_counter()
            answer = client.post("/api/auth/login", json={"username": kind, "password": "not the right one"})
            seconds[kind].append(time.perf_counter() - started)
            assert answer.status_code == 401, answer.text
    return seconds


def report(seconds: dict[str, list[float]]) -> None:
    """Print a line for each kind."""
    unknown = seconds["unknown"]
    for kind, taken in seconds.items():
        ratio = statistics.median(taken) / statistics.median(unknown)
        print(
            f"{kind:<16} median {1000 * statistics.median(taken):7.1f} ms"
            f"   {100 * (ratio - 1):+5.1f} % to unknown   p = {mann_whitney(taken, unknown):.2f}"
        )


def mann_whitney(first: list[float], second: list[float]) -> float:
    """Return the two-sided p of the rank sum test, by its normal approximation (good from 20 values each)."""
    ranked = sorted([(value, 0) for value in first] + [(value, 1) for value in second])
    ranks = sum(rank for rank, (_, side) in enumerate(ranked, 1) if side == 0)
    n, m = len(first), len(second)
    u = ranks - n * (n + 1) / 2
    z = (u - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)
    return math.erfc(abs(z) / math.sqrt(2))


def _environment(database_url: str, redis_url: str) -> dict[str, str]:
    return {
        "APP_ENV": "development",
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SECRET_KEY": "bench" * 10,
        "JWT_SECRET_KEY": "timing" * 10,
        "PLUGIN_API_ENCRYPTION_KEY": Fernet.generate_key().decode(),
        "LOGIN_LIMIT": "100000 per minute",
        "LOGIN_LIMIT_PER_ACCOUNT": "100000 per minute",
        "LOGIN_LIMIT_PER_ADDRESS": "100000 per minute",
        "LOG_LEVEL": "ERROR",
    }


if __name__ == "__main__":
    main()
