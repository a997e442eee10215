"""Whose fault a refusal is, by what the upstream says (specification section 6)."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from cryptography.fernet import Fernet

from shared_accounts.accounts.selection import Candidate
from shared_accounts.crypto import Vault
from shared_accounts.gateway import upstream as gateway_upstream
from shared_accounts.gateway.calls import Call
from shared_accounts.gateway.upstream import CALLER, CREDENTIAL, FAULT, LIMIT, UpstreamRefused
from shared_accounts.outbound.addresses import Guard
from shared_accounts.outbound.wire import Unreachable, Wire
from tests.upstream import Upstream, answers, breaks, event, plays, redirects, refuses, says, streams

VAULT = Vault((Fernet.generate_key().decode(),))
SEALED = VAULT.seal("secret", purpose="account:1")
CHAT = Call(model="m", stream=False, show_usage=False, prompt_tokens=1, most_completion_tokens=1, body=b'{"model":"m"}')
STREAM = dataclasses.replace(CHAT, stream=True, body=b'{"model":"m","stream":true}')
HTML = says(b"<html>key credit flagged</html>", status=404, headers=[("content-type", "text/html")])


@pytest.fixture
def send(upstream):
    """Send a chat to an upstream that acts like this."""
    guard, lines = Guard(["127.0.0.1"]), []
    wire = Wire(guard, connect_timeout=2)

    def send(act, chat=CHAT):
        server = act if isinstance(act, Upstream) else upstream(act)
        candidate = Candidate(1, 1, "shared", guard.parse(server.url + "/"), SEALED, VAULT, 0, 0.0)
        return gateway_upstream.send(wire, candidate, chat, hold=lambda line, _: lines.append(line))

    yield send
    wire.sweep()
    for line in lines:
        line.close()


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (refuses(400), CALLER),
        (refuses(404, "The model `m` does not exist", code="model_not_found"), CALLER),
        (refuses(413), CALLER),
        (refuses(415), CALLER),
        (refuses(422), CALLER),
        (refuses(403, "Your input was flagged for harassment. No credits were used."), CALLER),
        (refuses(403, "Blocked by our content policy"), CALLER),
        (refuses(401), CREDENTIAL),
        (refuses(403, "Your API key has no access"), CREDENTIAL),
        (refuses(403, "This organization has been suspended for breaking our content policy"), CREDENTIAL),
        (refuses(402), LIMIT),
        (refuses(429), LIMIT),
        (refuses(403, "You exceeded your current quota"), LIMIT),
        (refuses(403, "insufficient credits"), LIMIT),
        (refuses(403, "Forbidden"), FAULT),
        (refuses(405), FAULT),
        (refuses(408), FAULT),
        (refuses(409), FAULT),
        (refuses(500), FAULT),
        (refuses(502), FAULT),
        (refuses(503), FAULT),
        (refuses(529), FAULT),
        (redirects("http://127.0.0.1:9/elsewhere"), FAULT),
        (HTML, FAULT),
        (plays([], status=204, headers=[], framing="length"), FAULT),
        (says(b"{}", status=201), FAULT),
    ],
)
def test_the_status_and_where_it_is_vague_the_words_decide_whose_fault_it_is(send, act, kind):
    with pytest.raises(UpstreamRefused) as refused:
        send(act)

    assert refused.value.kind == kind


def test_only_a_callers_own_fault_keeps_the_upstreams_words(send):
    with pytest.raises(UpstreamRefused) as refused:
        send(refuses(400, "messages[0] is odd"))
    assert b"messages[0] is odd" in refused.value.body

    with pytest.raises(UpstreamRefused) as refused:
        send(refuses(429, "org-secret is at its limit"))
    assert refused.value.body == b""


@pytest.mark.parametrize("chat", [CHAT, STREAM])
def test_an_answer_of_the_kind_asked_for_is_returned(send, chat):
    assert send(answers("Hello"), chat).read()


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (says(b'{"choices": []}'), FAULT),
        (says(b"<html>"), FAULT),
        (says(b'{"error": {"message": "boom"}}'), FAULT),
        (says(b'{"error": {"message": "quota exceeded"}}'), LIMIT),
    ],
)
def test_a_200_that_is_no_stream_is_a_refusal(send, act, kind):
    with pytest.raises(UpstreamRefused) as refused:
        send(act, STREAM)

    assert refused.value.kind == kind


@pytest.mark.parametrize(
    "content_type", ["text/event-stream", "text/event-stream; charset=utf-8", "text/event-stream;x"]
)
def test_a_stream_is_known_by_its_type(send, content_type):
    assert send(plays([event(b"{}")], headers=[("Content-Type", content_type)]), STREAM).read()


def test_a_refusal_that_breaks_off_is_unreachable(send):
    with pytest.raises(Unreachable):
        send(breaks(0, framing="chunked"), dataclasses.replace(CHAT, body=b"{}")).read()


def _in(**span: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(**span), usegmt=True)


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("7", 7, 7),
        ("0", 1, 1),
        ("0.5", 1, 1),
        ("2.5", 2.5, 2.5),
        ("99999999999", 86400, 86400),
        ("9" * 400, 86400, 86400),
        (_in(hours=1), 2400, 3600),
        (_in(hours=-1), 1, 1),
        (_in(days=30), 86400, 86400),
    ],
    ids=range(9),
)
def test_the_time_an_upstream_names_is_believed_within_bounds(send, header, least, most):
    with pytest.raises(UpstreamRefused) as refused:
        send(refuses(429, retry_after=header))

    assert refused.value.retry_after is not None
    assert least <= refused.value.retry_after <= most


@pytest.mark.parametrize(
    "header",
    [
        "",
        "soon",
        "-5",
        "1e9",
        "nan",
        "inf",
        "٣",
        "1.2.3",
        "Wed, 99 Nov 2026 99:99:99 GMT",
        "Mon, 01 Jan 0001 00:00:00 -9999",
    ],
)
def test_a_time_that_is_none_is_ignored(send, header):
    with pytest.raises(UpstreamRefused) as refused:
        send(says(b"{}", status=429, headers=[("retry-after", header.encode("utf-8").decode("latin-1"))]))

    assert refused.value.retry_after is None


def test_a_stream_is_asked_for_as_such(send, upstream):
    server = upstream(streams("a"))

    send(server, STREAM).read_all(10**6)

    assert server.requests[0].header("accept") == "text/event-stream"
    assert server.requests[0].path == "/v1/chat/completions"
    assert server.requests[0].header("host") == f"127.0.0.1:{server.port}"
