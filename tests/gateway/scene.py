"""Who takes part in a test of the gateway, and how they talk to it."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import text

from shared_accounts.accounts.models import Account
from shared_accounts.auth import tokens
from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.quotas.models import QuotaPool
from shared_accounts.users.models import User
from tests import factories
from tests.gateway.server import Server
from tests.upstream import Upstream

T = TypeVar("T")

CHAT = "/v1/chat/completions"
PLUGIN_CHAT = "/api/plugin-api/chat/completions"
MESSAGES = [{"role": "user", "content": "Say hello."}]
BALANCE = 10 * MICRO
COST = 100 * 1 + 50 * 4
"""Micro-units that `upstream.USAGE` costs at the default weights and reference allowance."""


@dataclass(frozen=True)
class Reply:
    """An answer read to its end; `broken` when the connection ended before it did."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    broken: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = self.json["error"]
        return found

    @property
    def frames(self) -> list[Any]:
        """The events of a stream, parsed; `[DONE]` is a frame of its own."""
        return frames(self.body)


@dataclass
class Scene:
    """A model that nobody else uses, its contributor, a caller with a key, and what she pays from."""

    server: Server
    model: str
    owner: User = field(init=False)
    user: User = field(init=False)
    key: str = field(init=False)
    pool: QuotaPool = field(init=False)

    def __post_init__(self) -> None:
        self.owner = factories.user(username=f"owner of {self.model}")
        self.user, self.key = self.somebody()
        self.pool = factories.quota_pool(self.user, balance=BALANCE, model_group=self.model)
        db.session.rollback()

    def somebody(self, **overrides: Any) -> tuple[User, str]:
        """Another user and her key."""
        user = factories.user(username=f"{time.monotonic_ns()}", **overrides)
        _, key = factories.api_key(user)
        return user, key

    def account(self, upstream: Upstream | None, *, owner: User | None = None, **overrides: Any) -> Account:
        """An account at this upstream that serves the model."""
        fields = {"models": [self.model], **({"base_url": upstream.url} if upstream else {}), **overrides}
        made = factories.account(owner or self.owner, **fields)
        db.session.refresh(made)
        db.session.expunge(made)
        db.session.rollback()
        return made

    def token(self, user: User | None = None) -> str:
        """A fresh session's token."""
        issued = tokens.issue(user or self.user, user_agent=None, address=None)
        db.session.commit()
        return issued.access_token

    def body(self, **fields: Any) -> bytes:
        """A chat body; a field that is None is left out."""
        whole = {"model": self.model, "messages": MESSAGES, "max_tokens": 100, **fields}
        return json.dumps({name: value for name, value in whole.items() if value is not None}).encode()

    def headers(self, **headers: str | None) -> dict[str, str]:
        """The caller's headers."""
        whole: dict[str, str | None] = {
            "authorization": f"Bearer {self.key}",
            "content-type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return {name: value for name, value in whole.items() if value is not None}

    def ask(
        self,
        *,
        path: str = CHAT,
        method: str = "POST",
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
        connection: http.client.HTTPConnection | None = None,
        key: str | None = None,
        **fields: Any,
    ) -> Reply:
        """Send one chat and read the answer to its end; on a connection of its own unless one is given."""
        used = connection or self.server.connect()
        given = headers if headers is not None else self.headers(**({"authorization": f"Bearer {key}"} if key else {}))
        try:
            used.request(method, path, self.body(**fields) if raw is None else raw, given)
            return read(used.getresponse())
        finally:
            if connection is None:
                used.close()

    @contextmanager
    def stream(self, *, key: str | None = None, **fields: Any) -> Iterator[http.client.HTTPResponse]:
        """Open a stream and leave it to the test how far to read it; at the end the client hangs up."""
        connection = self.server.connect()
        connection.request(
            "POST", CHAT, self.body(stream=True, **fields), self.headers(authorization=f"Bearer {key or self.key}")
        )
        response = connection.getresponse()
        try:
            yield response
        finally:
            response.close()
            connection.close()

    def change(self, table: str, row_id: int, **values: Any) -> None:
        """Change a row behind the back of whoever remembers it."""
        columns = ", ".join(f"{name} = :{name}" for name in values)
        db.session.execute(text(f"update {table} set {columns} where id = :id"), {**values, "id": row_id})
        db.session.commit()

    def lines(self) -> list[dict[str, Any]]:
        """The usage lines of this model, oldest first."""
        return rows("select * from usage_log where model = :model order by opened_at, id", model=self.model)

    def line(self, seconds: float = 20.0) -> dict[str, Any]:
        """The one usage line of this model, once it is closed."""
        wait_until(lambda: [one["state"] for one in self.lines()] == ["closed"], "no closed line", seconds)
        return self.lines()[0]

    def last_line(self, seconds: float = 20.0) -> dict[str, Any]:
        """The latest usage line of this model, once every one is closed."""
        wait_until(lambda: {one["state"] for one in self.lines()} == {"closed"}, "no closed line", seconds)
        return self.lines()[-1]

    def account_now(self, account: Account) -> dict[str, Any]:
        """An account as it stands."""
        seconds = "extract(epoch from cooling_until - now())::float8 as cooling"
        return rows(f"select *, {seconds} from accounts where id = :id", id=account.id)[0]

    def pool_now(self, user: User | None = None) -> dict[str, Any]:
        """The caller's pool as it stands."""
        where = "user_id = :user and model_group = :model"
        return rows(f"select * from quota_pools where {where}", user=(user or self.user).id, model=self.model)[0]

    def charged(self) -> int:
        """What the caller's pool has paid, once everything answered has been settled: that comes after the answer."""
        wait_until(lambda: "open" not in {one["state"] for one in self.lines()}, "a line stays open")
        return BALANCE - int(self.pool_now()["balance"])


def read(response: http.client.HTTPResponse) -> Reply:
    """Read an answer to its end, also when it has none."""
    body, broken = b"", False
    try:
        while piece := response.read1(65536):
            body += piece
        broken = response.length not in {0, None}
        response.read()  # `read1` forgets to tell the connection that it is free
    except (http.client.HTTPException, OSError):
        broken = True
    return Reply(response.status, response.headers, body, broken)


def frames(body: bytes) -> list[Any]:
    """The payloads of a stream of events, parsed."""
    payloads = [line[5:].strip() for line in body.splitlines() if line.startswith(b"data:")]
    return ["[DONE]" if payload == b"[DONE]" else json.loads(payload) for payload in payloads]


def content(found: list[Any]) -> str:
    """The text that the frames of a stream carry."""
    choices = [choice for frame in found if isinstance(frame, dict) for choice in frame.get("choices", ())]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def rows(query: str, **values: Any) -> list[dict[str, Any]]:
    """What the database says at this moment."""
    db.session.rollback()
    found = [dict(row) for row in db.session.execute(text(query), values).mappings()]
    db.session.rollback()
    return found


def at_once(*calls: Callable[[], T]) -> list[T]:
    """Make these calls at the same time and return what each returned; only for what keeps away from `db`."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [made.result() for made in [pool.submit(call) for call in calls]]


def wait_until(holds: Callable[[], bool], otherwise: str, seconds: float = 20.0) -> None:
    """Return as soon as something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)
