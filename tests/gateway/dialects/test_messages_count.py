"""How long a Messages prompt probably is, before anybody has counted."""

from __future__ import annotations

import pytest

from shared_accounts.errors import InvalidRequest
from shared_accounts.gateway.dialects.messages import count_tokens, estimate, to_chat
from shared_accounts.quotas.pricing import estimate_prompt

PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 100_000}}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "A" * 100_000}}


def asked(*content, **more):
    return {"model": "m", "messages": [{"role": "user", "content": list(content)}], **more}


def text(words):
    return {"type": "text", "text": words}


@pytest.mark.parametrize(
    ("body", "least", "most"),
    [
        (asked(text("x" * 3_000)), 1_000, 1_010),
        ({"messages": [{"role": "user", "content": "x" * 3_000}]}, 1_000, 1_010),
        (asked(text("x"), system="x" * 3_000), 1_000, 1_020),
        (asked(text("x"), system=[text("x" * 3_000)]), 1_000, 1_020),
        (asked(PNG), 1_000, 1_010),
        (asked(PNG, PNG, text("x")), 2_000, 2_010),
        (asked(PDF), 10_000, 10_010),
        (asked({"type": "document", "source": {"type": "text", "data": "x" * 3_000}}), 1_000, 1_010),
        (asked({"type": "document", "source": {"type": "content", "content": [text("x" * 3_000), PNG]}}), 2_000, 2_010),
        (asked({"type": "tool_result", "tool_use_id": "a", "content": "x" * 3_000}), 1_000, 1_010),
        (asked({"type": "tool_result", "tool_use_id": "a", "content": [text("x" * 3_000), PNG]}), 2_000, 2_010),
        (asked({"type": "tool_use", "id": "a", "name": "write", "input": {"words": "x" * 3_000}}), 1_000, 1_020),
        (asked({"type": "thinking", "thinking": "x" * 3_000, "signature": "A" * 9_000}), 1_000, 1_010),
        (asked({"type": "redacted_thinking", "data": "A" * 9_000}), 4, 10),
        (asked({"type": "search_result", "content": [text("x" * 3_000)]}), 1_000, 1_010),
        (asked(text("x"), tools=[{"name": "write", "input_schema": {"about": "x" * 3_000}}]), 1_000, 1_040),
        (asked(text("x"), output_config={"format": {"schema": {"about": "x" * 3_000}}}), 1_000, 1_040),
    ],
)
def test_text_counts_by_its_length_and_pictures_flat(body, least, most):
    assert least <= estimate(body) <= most


@pytest.mark.parametrize(
    "body",
    [
        asked(text("你好 " * 500), system="Be brief. " * 100, max_tokens=1),
        asked(text("Look"), PNG, max_tokens=1),
        asked({"type": "tool_result", "tool_use_id": "a", "content": "Sunny " * 300}, max_tokens=1),
        asked(text("x"), max_tokens=1, tools=[{"name": "a", "description": "b" * 600, "input_schema": {}}]),
    ],
)
def test_it_is_about_what_the_chat_would_be_estimated_at(body):
    assert estimate(body) == pytest.approx(estimate_prompt(to_chat(body)), rel=0.1, abs=40)


@pytest.mark.parametrize(
    "body",
    [{}, {"messages": 7}, {"messages": [7, {}, {"content": 7}]}, asked(7, {}, {"type": ["x"]}, {"type": "text"}, {"type": "document", "source": 7}, {"type": "tool_result", "content": {}})],
)  # fmt: skip
def test_any_body_has_an_estimate(body):
    assert estimate(body) < 10_100


def test_a_count_is_the_estimate():
    body = asked(text("x" * 3_000))

    assert count_tokens(body) == {"input_tokens": estimate(body)}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**asked(text("x")), "model": None}, "model"),
        ({"model": "m"}, "messages"),
        ({"model": "m", "messages": []}, "messages"),
        ({"model": "m", "messages": "hunter2"}, "messages"),
        ({"model": "m", "messages": ["hunter2"]}, "messages.0"),
    ],
)
def test_nothing_to_count_is_refused(body, field):
    with pytest.raises(InvalidRequest) as refused:
        count_tokens(body)

    assert refused.value.field == field
    assert "hunter2" not in refused.value.message


def test_a_body_too_deep_to_walk_is_refused():
    deep = text("x")
    for _ in range(1_020):
        deep = {"type": "tool_result", "content": [deep]}

    with pytest.raises(InvalidRequest):
        count_tokens(asked(deep))
