"""What a chat body must say, what we read of it, and what of it reaches the upstream."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared_accounts.errors import InvalidRequest
from shared_accounts.gateway import chat as chats
from shared_accounts.quotas import pricing
from shared_accounts.quotas.pricing import Rule, Tokens

GOOD = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
DEEPEST = 3000
PLAIN = Rule("m", "m", 1_000_000)


def parse(body, *, stream_by_default=False):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return chats.parse(raw, stream_by_default=stream_by_default, default_completion_tokens=1024)


def nested(depth):
    return b"[" * depth + b"]" * depth


WRONG = [
    (b"", None),
    (b"   ", None),
    (b"{", None),
    (b'{"model": "m",}', None),
    (b"\xff\xfe", None),
    (b'{"model": "\xff"}', None),
    (b'{"model": "\\ud800"}', None),
    (b'{"n": NaN}', None),
    (b"[]", None),
    (b"null", None),
    (b'"text"', None),
    (b"7", None),
    (b'{"messages":' + nested(DEEPEST) + b"}", None),
    (orjson.dumps(GOOD)[:-1] + b',"tools":' + nested(1000) + b"}", None),
    (orjson.dumps(GOOD)[:-1] + b',"n":' + b"9" * 5000 + b"}", None),
    ({}, "model"),
    ({**GOOD, "model": None}, "model"),
    ({**GOOD, "model": ""}, "model"),
    ({**GOOD, "model": 7}, "model"),
    ({**GOOD, "model": ["m"]}, "model"),
    ({**GOOD, "model": "m" * 201}, "model"),
    ({**GOOD, "model": "m\x00"}, "model"),
    ({"model": "m"}, "messages"),
    ({**GOOD, "messages": None}, "messages"),
    ({**GOOD, "messages": []}, "messages"),
    ({**GOOD, "messages": {}}, "messages"),
    ({**GOOD, "messages": "hi"}, "messages"),
    ({**GOOD, "messages": ["hi"]}, "messages"),
    ({**GOOD, "messages": [GOOD["messages"][0], None]}, "messages"),
    ({**GOOD, "stream": "true"}, "stream"),
    ({**GOOD, "stream": 1}, "stream"),
    ({**GOOD, "stream": []}, "stream"),
    ({**GOOD, "stream_options": True}, "stream_options"),
    ({**GOOD, "stream_options": []}, "stream_options"),
    ({**GOOD, "max_tokens": -1}, "max_tokens"),
    ({**GOOD, "max_tokens": 0}, "max_tokens"),
    ({**GOOD, "max_tokens": 1.5}, "max_tokens"),
    ({**GOOD, "max_tokens": "10"}, "max_tokens"),
    ({**GOOD, "max_tokens": True}, "max_tokens"),
    ({**GOOD, "max_tokens": 10**9}, "max_tokens"),
    ({**GOOD, "max_tokens": 10**30}, "max_tokens"),
    ({**GOOD, "max_completion_tokens": -1}, "max_completion_tokens"),
    ({**GOOD, "max_completion_tokens": 10**9, "max_tokens": 5}, "max_completion_tokens"),
    ({**GOOD, "max_completion_tokens": 5, "max_tokens": 0}, "max_tokens"),
    ({**GOOD, "max_completion_tokens": 5, "max_tokens": "5"}, "max_tokens"),
    ({**GOOD, "n": 0}, "n"),
    ({**GOOD, "n": -3}, "n"),
    ({**GOOD, "n": 129}, "n"),
    ({**GOOD, "n": "2"}, "n"),
]


@pytest.mark.parametrize(("body", "field"), WRONG)
def test_a_body_that_cannot_be_used_is_refused_by_the_field_that_is_wrong(body, field):
    with pytest.raises(InvalidRequest) as refusal:
        parse(body)

    assert refusal.value.field == field


@pytest.mark.parametrize(
    "oddity",
    [
        {"messages": [{}]},
        {"messages": [{"role": "user"}]},
        {"messages": [{"content": None}]},
        {"messages": [{"content": 7}]},
        {"messages": [{"content": {"text": 7}}]},
        {
            "messages": [
                {"content": [None, 7, [], {"text": None}, {"type": "image_url", "image_url": {"url": "data:"}}]}
            ]
        },
        {"messages": [{"content": "x", "tool_calls": None}]},
        {"tools": None},
        {"tools": 7},
        {"functions": "f", "response_format": []},
        {"max_tokens": None, "max_completion_tokens": None, "n": None, "stream": None, "stream_options": None},
    ],
)
def test_what_only_the_upstream_can_judge_passes(oddity):
    body = {**GOOD, **oddity}

    assert parse(body).body == json.dumps(body).encode()
    assert 0 < parse(body).prompt_tokens < 5000


def test_streaming_is_what_the_body_says_else_what_the_door_is_used_to():
    assert not parse(GOOD).stream
    assert parse(GOOD, stream_by_default=True).stream
    assert parse({**GOOD, "stream": True}).stream
    assert not parse({**GOOD, "stream": False}, stream_by_default=True).stream
    assert not parse({**GOOD, "stream": None}, stream_by_default=True).stream


def test_the_most_it_may_cost_counts_every_choice():
    assert parse(GOOD).most_completion_tokens == 1024
    assert parse({**GOOD, "max_tokens": 10}).most_completion_tokens == 10
    assert parse({**GOOD, "max_tokens": 10, "max_completion_tokens": 20}).most_completion_tokens == 20
    assert parse({**GOOD, "max_tokens": 10, "n": 3}).most_completion_tokens == 30


ODD = (
    b'{ "seed" : 123456789012345678901234567890, "t":1.0,\t"e":1E5, "u":"\\u4f60\\/", "model":"m", "b":{"a":1,"a":2},'
    + (b'"messages":[{"role":"user","content":"hi"}]%s}')
)


@pytest.mark.parametrize("stream_by_default", [True, False])
def test_what_needs_no_change_is_sent_as_it_came(stream_by_default):
    raw = ODD % b', "stream": true, "stream_options": {"include_usage": true, "x": 1.0}'

    assert parse(raw, stream_by_default=stream_by_default).body == raw
    assert parse(ODD % b', "stream": false').body == ODD % b', "stream": false'
    assert parse(ODD % b"").body == ODD % b""


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (b', "stream": true', b'"stream_options":{"include_usage":true},'),
        (b"", b'"stream":true,"stream_options":{"include_usage":true},'),
        (b', "stream_options": {"include_usage": true}', b'"stream":true,'),
    ],
)
def test_what_is_missing_is_put_in_front_and_the_rest_stays_as_it_is(given, sent):
    raw = ODD % given

    assert parse(raw, stream_by_default=True).body == b"{" + sent + raw[1:]


@pytest.mark.parametrize(
    ("options", "asking"),
    [
        (b"null", b'{"include_usage":true}'),
        (b"{}", b'{"include_usage":true}'),
        (b'{"include_usage": false}', b'{"include_usage":true}'),
        (
            b'{"include_usage":null,"include_obfuscation": false }',
            b'{"include_usage":true,"include_obfuscation":false}',
        ),
    ],
)
def test_stream_options_that_do_not_ask_for_usage_are_changed_and_nothing_else(options, asking):
    raw = ODD % (b', "stream": true, "stream_options" :\n' + options)

    chat = parse(raw)

    assert not chat.show_usage
    assert chat.body == raw.replace(options, asking)


@pytest.mark.parametrize(
    "extra",
    [
        {"stream_options": {"include_usage": False, "deep": {"er": 1}}},
        {"stream_options": {"x": "}"}},
        {"tools": [{"stream_options": {}}], "stream_options": {}},
    ],
)
def test_odd_stream_options_ask_for_usage_too(extra):
    body = {**GOOD, "stream": True, **extra}

    sent = json.loads(parse(body).body)

    assert sent == {**body, "stream_options": {**body["stream_options"], "include_usage": True}}


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
flat = scalars | st.lists(scalars, max_size=4) | st.dictionaries(st.text(max_size=8), scalars, max_size=4)
anything = flat | st.lists(flat, max_size=4) | st.dictionaries(st.text(max_size=8), flat, max_size=4)
NAMES = ["model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "tools", "x"]


@given(body=st.dictionaries(st.sampled_from(NAMES), anything), default=st.booleans())
@settings(max_examples=300, deadline=None)
def test_whatever_comes_is_refused_by_name_or_sent_with_its_meaning_unchanged(body, default):
    whole = {**GOOD, **body}
    raw = json.dumps(whole).encode()
    try:
        chat = parse(raw, stream_by_default=default)
    except InvalidRequest as refusal:
        assert refusal.field in NAMES
        return
    sent = json.loads(chat.body)
    if chat.stream:
        options = sent.pop("stream_options")
        assert options["include_usage"]
        options.pop("include_usage")
        given_options = whole.pop("stream_options", None) or {}
        given_options.pop("include_usage", None)
        assert options == given_options
        assert sent.pop("stream") is True
        whole.pop("stream", None)
    assert sent == whole


@given(body=st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_random_bytes_are_refused(body):
    with pytest.raises(InvalidRequest):
        parse(body)


@pytest.mark.parametrize(
    ("message", "least", "most"),
    [
        ({"role": "user", "content": "hello world " * 100}, 300, 500),
        ({"role": "user", "content": "你好世界" * 100}, 300, 500),
        ({"role": "user", "content": [{"type": "text", "text": "hello world " * 100}]}, 300, 500),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:" + "A" * 10**6}}]}, 1000, 1100),
        ({"role": "assistant", "content": None, "tool_calls": [{"function": {"arguments": "x" * 300}}]}, 100, 200),
    ],
)
def test_a_prompt_is_estimated_by_its_text(message, least, most):
    assert least <= pricing.estimate_prompt({"messages": [message]}) <= most


@pytest.mark.parametrize(
    ("tokens", "cost"),
    [
        (Tokens(0, 0), 0),
        (Tokens(1, 0), 1),
        (Tokens(0, 1), 4),
        (Tokens(100, 50), 300),
        (Tokens(100, 50, 100), 210),
        (Tokens(100, 50, 1000), 210),
        (Tokens(1, 0, 1), 1),
    ],
)
def test_a_cost_weighs_each_kind_of_token_and_is_rounded_upwards(tokens, cost):
    assert pricing.cost(tokens, PLAIN) == cost


@given(
    prompt=st.integers(0, 10**8),
    completion=st.integers(0, 10**8),
    cached=st.integers(0, 10**8),
    more=st.integers(0, 1000),
)
@settings(deadline=None)
def test_more_tokens_never_cost_less_and_nothing_used_is_free(prompt, completion, cached, more):
    cost = pricing.cost(Tokens(prompt, completion, cached), PLAIN)

    assert pricing.cost(Tokens(prompt + more, completion, cached), PLAIN) >= cost
    assert pricing.cost(Tokens(prompt, completion + more, cached), PLAIN) >= cost
    assert (cost == 0) == (prompt == completion == 0)
