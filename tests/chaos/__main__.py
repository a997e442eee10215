"""Kill workers under load, restart the database, and hold the books to what the upstream saw.

    python -m tests.chaos [--kills 20] [--seconds 60]

Real gunicorn, Celery worker and beat, PostgreSQL and Redis; nothing is faked but the model. Every call is sent
once, with a `max_tokens` of its own, by which the upstream's log, the client's notes and the usage line of one
call are matched. Ends with exit status 1 when a single micro-unit is out of place.
"""

from __future__ import annotations

import argparse
import collections
import http.client
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path

import flask_migrate
import psutil
from cryptography.fernet import Fernet
from sqlalchemy import text

from shared_accounts import create_app
from shared_accounts.config import MICRO, load
from shared_accounts.extensions import db
from shared_accounts.local.servers import Postgres, Redis, create_database, free_port
from shared_accounts.quotas import pricing, proof
from shared_accounts.usage import rollup
from shared_accounts.usage.stats import stats
from shared_accounts.usage.wanted import Wanted
from tests import factories
from tests.chaos.trouble import Trouble

ROOT = Path(__file__).parent.parent.parent
USERS, CLIENTS = 6, 24
LEASE_SECONDS, HEARTBEAT_SECONDS = 6, 2
GROWN_UP_SECONDS = 6
FIRST_CALL = 1000
MESSAGES = [{"role": "user", "content": "hi"}]
RICH = 1_000_000 * MICRO
MISSED_HOURS, PER_HOUR = 3, 1000


class Chaos:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.postgres = Postgres(folder / "postgres-home", free_port())
        self.redis = Redis(folder / "redis-home", free_port())
        self.port, self.upstream_port = free_port(), free_port()
        self.calls = itertools.count(FIRST_CALL)
        self.answers: dict[int, str] = {}
        self.over = threading.Event()
        self.processes: list[subprocess.Popen[bytes]] = []

    def prepare(self) -> None:
        for part in (self.postgres, self.redis):
            part.start()
        create_database(self.postgres.url("postgres"), "shared_accounts")
        self.env = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "APP_ENV": "development",
            "DATABASE_URL": self.postgres.url(),
            "REDIS_URL": self.redis.url(),
            "SECRET_KEY": "Vq3xJ8mWc5Ls0RyTz7Kd1Pb9Hg4Nf6Ua",
            "JWT_SECRET_KEY": "w2Yk7Qe9Rt4Zs1Xc6Vb3Nm8Lp5Dj0Hg-",
            "PLUGIN_API_ENCRYPTION_KEY": Fernet.generate_key().decode(),
            "UPSTREAM_ALLOWED_HOSTS": "127.0.0.1",
            "LEASE_SECONDS": str(LEASE_SECONDS),
            "HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS),
            "PORT": str(self.port),
            "WEB_CONCURRENCY": "3",
            "LOG_LEVEL": "ERROR",
        }
        self.app = create_app(load(self.env))
        with self.app.app_context():
            flask_migrate.upgrade(directory=str(ROOT / "migrations"))
            owner = factories.user()
            factories.account(owner, base_url=f"http://127.0.0.1:{self.upstream_port}/v1", allowance_tokens=10**12)
            people = [factories.user() for _ in range(USERS)]
            for person in people:
                # Three hours were missed; however often they are asked for, they are paid for once.
                missed = factories.quota_pool(person, balance=RICH, capacity=2 * RICH, refill_per_hour=PER_HOUR)
                missed.refilled_through -= timedelta(hours=MISSED_HOURS)
                db.session.commit()
            self.keys = [factories.api_key(person)[1] for person in people]

    def start(self) -> None:
        celery = [sys.executable, "-m", "celery", "-A", "celery_worker"]
        upstream = ["-m", "tests.chaos.upstream", self.upstream_port, self.folder / "served"]
        self._spawn("upstream", [sys.executable, *upstream])
        self.web = self._spawn("web", [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"])
        self.start_worker()
        for beat in ("beat", "second-beat"):
            self._spawn(beat, [*celery, "beat", "--schedule", self.folder / beat])
        for port in (self.port, self.upstream_port):
            self._await_port(port)

    def start_worker(self) -> None:
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "celery_worker",
            "worker",
            "--concurrency",
            "2",
            "-l",
            "WARNING",
        ]
        self.worker = self._spawn("worker", command)

    def client(self) -> None:
        while not self.over.is_set():
            call = next(self.calls)
            self.answers[call] = self._call(call)
            if self.answers[call] == "unreachable":
                time.sleep(0.1)

    def kill_one(self) -> None:
        """Kill a worker that has had time to start and is serving; one that is still booting would prove nothing."""
        while True:
            workers = psutil.Process(self.web.pid).children()
            busy = [one for one in workers if time.time() - one.create_time() > GROWN_UP_SECONDS]
            if busy:
                os.kill(random.choice(busy).pid, signal.SIGKILL)
                return
            time.sleep(0.2)

    def settle_down(self) -> None:
        """Wait until every line is closed: a lease, the reaper's round, and some patience for a busy machine."""
        end = time.monotonic() + LEASE_SECONDS + 90
        unpaid = "(select count(*) from quota_pools where refilled_through < date_trunc('hour', now(), 'UTC'))"
        while self._scalar(f"select count(*) + {unpaid} from usage_log where state = 'open'"):
            if time.monotonic() > end:
                break
            time.sleep(1)

    def verdicts(self) -> list[tuple[str, int, bool]]:
        """Every fact worth knowing: a sentence, a number, and whether that number is right."""
        served = collections.Counter(map(int, (self.folder / "served").read_text().split()))
        with self.app.app_context():
            lines = db.session.execute(text("select estimate, state, outcome, charged from usage_log")).all()
            broken = proof.verify()
            pools = db.session.execute(text("select sum(balance), sum(reserved) from quota_pools")).one()
            refilled, spent = (self._entered(kind) for kind in ("refill", "spend"))
            live, counted = self._added_up()
        base = pricing.estimate_prompt({"messages": MESSAGES})
        by_call: dict[int, list] = collections.defaultdict(list)
        for line in lines:
            by_call[(line.estimate - base) // 4].append(line)
        charged = {call for call, found in by_call.items() if any(line.charged for line in found)}
        twice = [call for call, found in by_call.items() if len(found) > 1]
        chargeable = charged | set(served)
        still_open = [line for line in lines if line.state == "open"]
        whole = {call for call, answer in self.answers.items() if answer == "whole"}
        for problem in broken:
            print("broken:", problem)
        return [
            ("calls sent", len(self.answers), True),
            ("answered whole", len(whole), len(whole) > 0),
            ("calls the upstream served", len(served), True),
            ("served twice by the upstream", sum(n > 1 for n in served.values()), all(n == 1 for n in served.values())),
            ("served but without a usage line (lost)", len(set(served) - set(by_call)), not set(served) - set(by_call)),
            ("served but not charged (lost)", len(set(served) - charged), not set(served) - charged),
            ("answered whole but not charged (lost)", len(whole - charged), not whole - charged),
            ("with two lines (charged twice)", len(twice), not twice),
            ("charged though the upstream never saw them (crash before the call)", len(charged - set(served)), True),
            ("settled by the reaper at their estimate", sum(line.outcome == "abandoned" for line in lines), True),
            ("lines still open", len(still_open), not still_open),
            ("micro-units still reserved", int(pools[1]), pools[1] == 0),
            ("micro-units refilled", refilled, refilled == USERS * MISSED_HOURS * PER_HOUR),
            ("micro-units missing from the books",
             int(USERS * RICH + refilled - pools[0] - sum(line.charged for line in lines)),
             pools[0] + sum(line.charged for line in lines) == USERS * RICH + refilled),
            ("broken invariants", len(broken), not broken),
            ("chargeable exchanges", len(chargeable), len(chargeable) > 0),
            ("chargeable exchanges that have not exactly one line", n := sum(len(by_call[one]) != 1 for one in chargeable),
             n == 0),
            ("micro-units spent by the ledger", -spent, spent == -sum(line.charged for line in lines)),
            ("of them in the statistics, from the log", live[1], live == (len(lines), -spent)),
            ("of them in the statistics, from the roll-ups", counted[1], counted == (len(lines), -spent)),
        ]  # fmt: skip

    def _added_up(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Lines and what they were charged, as the statistics have it: before their hours are counted, and after."""
        everybody, found = Wanted(viewer=0, scope="all"), []
        hours = text("select distinct date_trunc('hour', opened_at, 'UTC') as hour from usage_log order by hour")
        for hour in (None, *db.session.scalars(hours)):
            if hour is not None:
                rollup.recount(hour)
                db.session.commit()
            total = stats(everybody).total
            found.append((total.calls, total.charged))
        return found[0], found[-1]

    def _entered(self, kind: str) -> int:
        return int(
            db.session.scalar(text("select sum(amount) from ledger_entries where kind = :kind"), {"kind": kind}) or 0
        )

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
        self.redis.stop()
        self.postgres.destroy()

    def _call(self, call: int) -> str:
        stream = call % 2 == 0
        body = {"model": "m", "max_tokens": call, "stream": stream, "messages": MESSAGES}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            headers = {"authorization": f"Bearer {self.keys[call % USERS]}", "content-type": "application/json"}
            connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
            answer = connection.getresponse()
            data = answer.read()
        except ConnectionRefusedError:
            return "unreachable"
        except (OSError, http.client.HTTPException):
            return "cut"
        finally:
            connection.close()
        if answer.status != http.client.OK:
            return str(answer.status)
        return "whole" if not stream or data.endswith(b"data: [DONE]\n\n") else "broken"

    def _spawn(self, name: str, command: list[object]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("wb") as log:
            made = subprocess.Popen([str(word) for word in command], cwd=ROOT, env=self.env, stdout=log, stderr=log)
        self.processes.append(made)
        return made

    def _await_port(self, port: int) -> None:
        for _ in range(300):
            try:
                http.client.HTTPConnection("127.0.0.1", port, timeout=5).request("GET", "/livez")
            except OSError:
                time.sleep(0.2)
            else:
                return
        raise SystemExit(f"nothing answers on port {port}; see {self.folder}")

    def _scalar(self, statement: str) -> int:
        with self.app.app_context():
            return int(db.session.execute(text(statement)).scalar_one())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=60)
    wanted = parser.parse_args()
    if time.time() % 3600 > 3600 - wanted.seconds - 120:
        print(
            "waiting for the full hour: a refill at its stroke could not be told from one that was missed", flush=True
        )
        time.sleep(3600 - time.time() % 3600)
    with tempfile.TemporaryDirectory() as folder:
        chaos = Chaos(Path(folder))
        try:
            chaos.prepare()
            chaos.start()
            clients = [threading.Thread(target=chaos.client) for _ in range(CLIENTS)]
            for client in clients:
                client.start()
            trouble = Trouble(chaos)
            for kill in range(1, wanted.kills + 1):
                time.sleep(wanted.seconds / wanted.kills)
                trouble.make()
                chaos.kill_one()
                if kill == wanted.kills // 2:
                    print("restarting PostgreSQL, immediately", flush=True)
                    chaos.postgres.restart_immediate()
            chaos.over.set()
            for client in clients:
                client.join()
            trouble.pay_thrice()
            chaos.settle_down()
            made = sorted(collections.Counter(trouble.made).items())
            verdicts = [("workers killed", wanted.kills, True), *((name, count, True) for name, count in made)]
            verdicts += chaos.verdicts()
        finally:
            chaos.over.set()
            chaos.stop()
    print("answers:", dict(collections.Counter(chaos.answers.values())))
    for sentence, number, right in verdicts:
        print(f"{'ok ' if right else 'BAD'} {number:>9} {sentence}")
    raise SystemExit(not all(right for *_, right in verdicts))


if __name__ == "__main__":
    main()
