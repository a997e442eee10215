from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509

from shared_accounts.extensions import db
from tests import factories
from tests.auth.test_sso_tls import certificate
from tests.upstream import Upstream, says


@dataclass
class Mailbox:
    """A real SMTP server on a port of its own, and what has arrived there."""

    port: int = 0
    letters: list[EmailMessage] = field(default_factory=list)
    secure: list[bool] = field(default_factory=list)
    refusal: str = ""
    """What the server says to the next letters instead of taking them."""

    async def handle_RCPT(self, _server: SMTP, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        if self.refusal.startswith("55"):
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.refusal:
            return self.refusal
        letter = message_from_bytes(envelope.content, policy=policy.SMTP)
        assert isinstance(letter, EmailMessage)
        self.letters.append(letter)
        self.secure.append(session.ssl is not None)
        return "250 OK"


@contextmanager
def listening(mailbox: Mailbox, **demands: Any) -> Iterator[Mailbox]:
    """Run the server in a thread until the block ends. (aiosmtpd's own runner gives up when a machine is slow.)"""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def serve() -> asyncio.Server:
        return await loop.create_server(lambda: SMTP(mailbox, loop=loop, **demands), "127.0.0.1", 0)

    async def close(server: asyncio.Server) -> None:
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    server = asyncio.run_coroutine_threadsafe(serve(), loop).result()
    mailbox.port = server.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        asyncio.run_coroutine_threadsafe(close(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="session")
def mail_server() -> Iterator[Mailbox]:
    with listening(Mailbox()) as mailbox:
        yield mailbox


@pytest.fixture
def mailbox(mail_server: Mailbox) -> Mailbox:
    mail_server.letters.clear()
    mail_server.secure.clear()
    mail_server.refusal = ""
    return mail_server


@pytest.fixture
def secure_mailbox(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    """One that asks for TLS and a password, with a certificate for `localhost`."""
    path = certificate(tmp_path, x509.DNSName("localhost"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    mailbox = Mailbox()

    def knows(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"robot", b"a password"))

    demands = {"require_starttls": True, "auth_required": True, "authenticator": knows, "tls_context": context}
    with listening(mailbox, **demands):
        yield mailbox


@pytest.fixture
def receiver() -> Iterator[Upstream]:
    """A real HTTP server that webhooks may reach."""
    made = Upstream(says(b"{}"))
    yield made
    made.stop()


@pytest.fixture
def reachable(with_settings: Callable[..., Any], mailbox: Mailbox) -> Iterator[None]:
    """Mails and webhooks to this machine go out."""
    mail = {
        "smtp_host": "127.0.0.1",
        "smtp_port": mailbox.port,
        "smtp_security": "none",
        "mail_from": "pool@pool.example",
    }
    with with_settings(**mail, webhook_allowed_hosts=("127.0.0.1",)):
        yield


@pytest.fixture
def alice(committed: Any, client: Any) -> Any:
    return factories.user(username="alice")


@pytest.fixture
def browser(sign_in: Any, alice: Any) -> Any:
    return sign_in(alice)


@pytest.fixture
def wants(browser: Any) -> Callable[..., Any]:
    """Alice says where she wants alerts sent; returns the answer."""

    def wants(**what: Any) -> Any:
        answer = browser.put("/api/alerts/preferences", json=what)
        assert answer.status_code == 200, answer.json
        db.session.rollback()
        return answer.json

    return wants
