import json
import time

import pytest

from shared_accounts.accounts import probe
from shared_accounts.accounts.probe import CredentialRefused, Proof
from shared_accounts.errors import Unprocessable
from shared_accounts.outbound.addresses import Guard
from tests.upstream import Upstream, answers, plays, redirects, refuses, says, stalls, stalls_before_the_head


def lists(*models):
    return says(json.dumps({"object": "list", "data": [{"id": name} for name in models]}).encode())


@pytest.fixture
def party(app):
    made = Upstream()
    yield made
    app.extensions["wire"].sweep()
    made.stop()


@pytest.fixture
def prove(app, party):
    def ask(*models, preset=None, credential="sk-key"):
        target = Guard(["127.0.0.1"]).parse(party.url)
        return probe.prove(app.extensions["wire"], target, credential, list(models), preset=preset)

    return ask


def asked(party):
    return [(one.method, one.path) for one in party.requests]


def test_a_list_of_models_proves_the_credential(party, prove):
    party.plays(lists("m", "models/gemini-2", "org/o"))

    assert prove("m") == Proof(["m", "gemini-2", "org/o"], lists_models=True)
    assert asked(party) == [("GET", "/v1/models")]
    assert party.requests[0].header("authorization") == "Bearer sk-key"


def test_anthropic_lists_by_its_own_header_and_all_at_once(party, prove):
    party.plays(lists("claude-opus", "claude-haiku"))

    assert prove(preset="anthropic").models == ["claude-opus", "claude-haiku"]

    (request,) = party.requests
    assert request.path == "/v1/models?limit=1000"
    assert request.header("x-api-key") == "sk-key"
    assert request.header("anthropic-version") == "2023-06-01"
    assert "authorization" not in request.names


def test_anthropic_is_tried_as_it_will_be_used(party, prove):
    party.plays(refuses(404), answers())

    assert prove("claude-haiku", preset="anthropic") == Proof([], lists_models=False)
    assert asked(party)[1] == ("POST", "/v1/chat/completions")
    assert party.requests[1].header("authorization") == "Bearer sk-key"
    assert "x-api-key" not in party.requests[1].names


def test_a_list_that_everybody_may_read_is_not_believed(party, prove):
    party.plays(refuses(401), lists("m"))
    with pytest.raises(CredentialRefused):
        prove("m", preset="openrouter")
    assert asked(party) == [("GET", "/v1/key")]

    party.plays(says(b'{"data": {"label": "mine"}}'), lists("m"))
    assert prove("m", preset="openrouter").models == ["m"]


def test_an_upstream_without_a_list_is_asked_for_each_model(party, prove):
    party.plays(refuses(404), answers(), answers())

    assert prove("m", "n") == Proof([], lists_models=False)
    assert [one.json["model"] for one in party.requests[1:]] == ["m", "n"]
    assert all(one.json["max_tokens"] == 1 for one in party.requests[1:])


@pytest.mark.parametrize("listing", [lists(), says(b'{"object": "list", "data": null}')])
def test_an_empty_list_lets_nobody_claim_what_was_not_tried(party, prove, listing):
    party.plays(listing, answers())
    assert prove("m") == Proof([], lists_models=False)

    party.plays(listing)
    assert prove() == Proof([], lists_models=True)

    party.plays(listing, refuses(404))
    with pytest.raises(Unprocessable) as refused:
        prove("m")
    assert refused.value.field == "models"


def test_a_key_that_may_only_chat_is_tried_by_chatting(party, prove):
    missing = refuses(401, "You have insufficient permissions. Missing scopes: api.model.read.")
    for refusal in (refuses(403), missing):
        party.plays(refusal, answers())
        assert prove("m") == Proof([], lists_models=False)

        party.plays(refusal)
        with pytest.raises(CredentialRefused):
            prove()


GEMINI = says(b'[{"error": {"code": 400, "details": [{"reason": "API_KEY_INVALID"}]}}]', status=400)


@pytest.mark.parametrize(
    ("act", "field", "says_so"),
    [
        (refuses(401), "api_key", "refuses this credential"),
        (refuses(403), "api_key", "refuses this credential"),
        (GEMINI, "api_key", "refuses this credential"),
        (refuses(402), "base_url", "at its limit"),
        (refuses(429), "base_url", "at its limit"),
        (refuses(403, "Free quota exhausted"), "base_url", "at its limit"),
        (says(b"<html>Blocked</html>", status=403), "base_url", "answered 403"),
        (refuses(400), "base_url", "answered 400"),
        (refuses(404), "base_url", "name them"),
        (refuses(501), "base_url", "name them"),
        (refuses(500), "base_url", "answered 500"),
        (redirects("http://169.254.169.254/"), "base_url", "answered 307"),
        (says(b"<html>"), "base_url", "cannot be read"),
        (says(b"[]"), "base_url", "cannot be read"),
        (says(b'{"data": 7}'), "base_url", "cannot be read"),
        (says(b'{"data": ["m"]}'), "base_url", "cannot be read"),
        (says(b'{"data": [{"name": "m"}]}'), "base_url", "cannot be read"),
        (says(b'{"data": [{"id": "m"}]', framing="close"), "base_url", "cannot be read"),
        (plays([b"nonsense"], ending="reset"), "base_url", "cannot be reached"),
        (says(b" " * (4 * 1024 * 1024 + 1)), "base_url", "too long"),
    ],
)
def test_what_proves_nothing_is_refused_naming_the_field(party, prove, act, field, says_so):
    party.plays(act)

    with pytest.raises(Unprocessable) as refused:
        prove()

    assert (refused.value.field, says_so in refused.value.message) == (field, True), refused.value.message
    assert isinstance(refused.value, CredentialRefused) is (says_so == "refuses this credential")
    assert len(party.requests) == 1


@pytest.mark.parametrize(
    ("act", "field"),
    [
        (refuses(404), "models"),
        (refuses(400), "models"),
        (refuses(422), "models"),
        (says(b"<h1>Not Found</h1>", status=404), "base_url"),
        (refuses(403, "Your project has no access to it", code="model_not_found"), "models"),
        (refuses(401), "api_key"),
        (refuses(403), "api_key"),
        (GEMINI, "api_key"),
        (refuses(429), "base_url"),
        (refuses(500), "base_url"),
    ],
)
def test_a_model_that_does_not_answer_is_told_from_an_upstream_that_is_none(party, prove, act, field):
    party.plays(refuses(404), answers(), act)

    with pytest.raises(Unprocessable) as refused:
        prove("m", "n")

    assert refused.value.field == field


def test_without_a_list_only_so_many_models_are_tried(party, prove):
    party.plays(refuses(404), answers())

    with pytest.raises(Unprocessable) as refused:
        prove(*"abcdef")

    assert (refused.value.field, len(party.requests)) == ("models", 1)


def test_names_that_could_not_be_stored_or_shown_are_left_out(party, prove):
    odd = ["m", "", "a\nb", "nul\x00", "\u202egpt", "x" * 201, "models/", 7, None, "模型"]
    party.plays(says(json.dumps({"data": [{"id": name} for name in odd]}).encode()))

    assert prove().models == ["m", "模型"]


@pytest.mark.parametrize(
    ("proof", "declared", "claimed"),
    [
        (Proof(["m", "n"], lists_models=True), None, ["m", "n"]),
        (Proof(["m", "n"], lists_models=True), ["n", "n"], ["n"]),
        (Proof(["gemini-2"], lists_models=True), ["models/gemini-2"], ["models/gemini-2"]),
        (Proof([], lists_models=False), ["m"], ["m"]),
    ],
)
def test_what_is_declared_counts_and_else_what_is_listed(proof, declared, claimed):
    assert proof.claimed(declared) == claimed


@pytest.mark.parametrize(
    ("proof", "declared"),
    [
        (Proof(["m"], lists_models=True), ["m", "gpt-of-my-dreams"]),
        (Proof([], lists_models=True), None),
        (Proof([str(number) for number in range(501)], lists_models=True), None),
    ],
)
def test_what_is_not_there_or_too_much_cannot_be_claimed(proof, declared):
    with pytest.raises(Unprocessable) as refused:
        proof.claimed(declared)

    assert refused.value.field == "models"


@pytest.mark.parametrize(
    "act",
    [
        stalls_before_the_head,
        stalls(b'{"data": ['),
        plays([b'{"data": [', *([0.1, b" "] * 100)]),
        plays([b'{"data": [', *([0.1, b" "] * 100)], framing="close"),
    ],
    ids=["no head", "half a body", "drops", "drops until the end"],
)
def test_a_question_is_given_up_when_its_time_is_over(party, prove, monkeypatch, act):
    monkeypatch.setattr(probe, "_SECONDS", 0.6)
    party.plays(act)
    began = time.monotonic()

    with pytest.raises(Unprocessable) as refused:
        prove()

    assert 0.5 < time.monotonic() - began < 3
    assert (refused.value.field, "timed out" in refused.value.message) == ("base_url", True)


def test_after_an_answer_the_clock_ends_nobody_elses_conversation(party, prove, monkeypatch):
    monkeypatch.setattr(probe, "_SECONDS", 0.5)
    party.plays(lists("m"))

    assert prove().models == ["m"]
    time.sleep(0.7)
    assert prove().models == ["m"]
    assert party.connections == 1


def test_nobody_there_is_told_as_such(party, prove):
    party.stop()

    with pytest.raises(Unprocessable) as refused:
        prove()

    assert refused.value.field == "base_url"
