"""What a Messages request asks for, asked of a chat."""

from __future__ import annotations

import json

import pytest

from shared_accounts.errors import InvalidRequest
from shared_accounts.gateway import chat as chats
from shared_accounts.gateway.dialects.messages import to_chat

HELLO = {"role": "user", "content": "Hello"}
BODY = {"model": "claude", "max_tokens": 100, "messages": [HELLO]}
CHAT = {"model": "claude", "max_tokens": 100, "messages": [HELLO]}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CLOSED = {**SCHEMA, "additionalProperties": False}
TOOL = {"name": "weather", "description": "Looks out", "input_schema": SCHEMA}
FUNCTION = {"type": "function", "function": {"name": "weather", "description": "Looks out", "parameters": SCHEMA}}
EPHEMERAL = {"cache_control": {"type": "ephemeral"}}


@pytest.mark.parametrize(
    ("asked", "chat"),
    [
        ({}, {}),
        ({"stream": True}, {"stream": True}),
        ({"stream": False}, {"stream": False}),
        ({"stream": None}, {}),
        ({"temperature": 0.5, "top_p": 1}, {"temperature": 0.5, "top_p": 1}),
        ({"stop_sequences": ["END", "\n\nHuman:"]}, {"stop": ["END", "\n\nHuman:"]}),
        ({"stop_sequences": []}, {}),
        ({"top_k": 5, "service_tier": "auto", "container": "c", "context_management": {}, "surprise": 1}, {}),
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, {}),
        ({"tools": [TOOL]}, {"tools": [FUNCTION]}),
        ({"tools": [{**TOOL, "type": "custom", **EPHEMERAL, "defer_loading": True}]}, {"tools": [FUNCTION]}),
        ({"tools": [], "tool_choice": {"type": "auto"}}, {}),
        ({"tool_choice": {"type": "none"}}, {}),
        ({"tools": [TOOL], "tool_choice": {"type": "auto"}}, {"tools": [FUNCTION], "tool_choice": "auto"}),
        ({"tools": [TOOL], "tool_choice": {"type": "any"}}, {"tools": [FUNCTION], "tool_choice": "required"}),
        ({"tools": [TOOL], "tool_choice": {"type": "none"}}, {"tools": [FUNCTION], "tool_choice": "none"}),
        (
            {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "weather"}},
            {"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "weather"}}},
        ),
        (
            {"tools": [TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
            {"tools": [FUNCTION], "tool_choice": "auto", "parallel_tool_calls": False},
        ),
        ({"tools": [{"name": "now", "input_schema": {}}]}, {"tools": [{"type": "function", "function": {"name": "now", "parameters": {}}}]}),
    ],
)  # fmt: skip
def test_a_field_becomes_its_counterpart_or_is_dropped(asked, chat):
    assert to_chat({**BODY, **asked}) == {**CHAT, **chat}


def test_who_asks_is_not_told_upstream():
    chat = to_chat({**BODY, "metadata": {"user_id": "alice@example.org"}})

    assert chat == CHAT


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("claude-sonnet-5", "max_tokens"), ("gpt-4.1", "max_tokens"), ("gpt-oss-120b", "max_tokens"), ("demo", "max_tokens"),
        ("gpt-5-mini", "max_completion_tokens"), ("o3", "max_completion_tokens"), ("openai/o4-mini", "max_completion_tokens"),
    ],
)  # fmt: skip
def test_the_limit_goes_by_the_name_that_the_model_takes(model, name):
    assert to_chat({**BODY, "model": model}) == {"model": model, "messages": [HELLO], name: 100}


@pytest.mark.parametrize(
    ("asked", "effort"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 8192}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 32000}}, "high"),
        ({"thinking": {"type": "adaptive"}}, None),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}, "low"),
        ({"output_config": {"effort": "max"}}, "high"),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "max"}}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize(
    ("model", "takes_it"),
    [("gpt-5", True), ("google/gemini-3-pro", True), ("gpt-oss-20b", True), ("gpt-4.1", False), ("llama", False)],
)
def test_how_hard_to_think_is_said_only_to_models_that_take_it(asked, effort, model, takes_it):
    assert to_chat({**BODY, "model": model, **asked}).get("reasoning_effort") == (effort if takes_it else None)


@pytest.mark.parametrize("place", [{"output_config": {"format": None}}, {"output_format": None}])
@pytest.mark.parametrize(("schema", "strictness"), [(SCHEMA, {}), (CLOSED, {"strict": True})])
def test_structured_output_is_strict_where_openai_can_be(place, schema, strictness):
    asked = {"type": "json_schema", "schema": schema}
    place = {"output_config": {"format": asked}} if "output_config" in place else {"output_format": asked}

    assert to_chat({**BODY, **place})["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema, **strictness},
    }


@pytest.mark.parametrize(
    ("schema", "is_strict"),
    [
        (CLOSED, True),
        (SCHEMA, False),
        ({**CLOSED, "required": []}, False),
        ({**CLOSED, "properties": {"city": SCHEMA}}, False),
        ({**CLOSED, "properties": {"city": {"anyOf": [CLOSED, {"type": "null"}]}}}, True),
        ({**CLOSED, "properties": {"city": {"anyOf": [SCHEMA]}}}, False),
        ({**CLOSED, "properties": 7}, False),
        ({**CLOSED, "required": 7}, False),
    ],
)
def test_a_strict_tool_stays_strict_where_openai_can_be(schema, is_strict):
    function = to_chat({**BODY, "tools": [{**TOOL, "input_schema": schema, "strict": True}]})["tools"][0]["function"]

    assert function.get("strict", False) is is_strict
    assert function["parameters"] == schema


SECRET = "hunter2"


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"model": None}, "model"),
        ({"model": 7}, "model"),
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": "hunter2"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stream": "hunter2"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"temperature": "hunter2"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"stop_sequences": "hunter2"}, "stop_sequences"),
        ({"stop_sequences": [1]}, "stop_sequences"),
        ({"thinking": True}, "thinking"),
        ({"thinking": {"budget_tokens": "hunter2"}}, "thinking.budget_tokens"),
        ({"output_config": {"effort": "hunter2"}}, "output_config.effort"),
        ({"output_config": {"format": "hunter2"}}, "output_config.format"),
        ({"output_config": {"format": {"type": "hunter2"}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"output_format": {"type": "json_schema", "schema": "hunter2"}}, "output_format.schema"),
        ({"tools": "hunter2"}, "tools"),
        ({"tools": ["hunter2"]}, "tools.0"),
        ({"tools": [TOOL, {"input_schema": SCHEMA}]}, "tools.1.name"),
        ({"tools": [{"name": "hunter2"}]}, "tools.0.input_schema"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0.type"),
        ({"tools": [{"type": ["hunter2"], "name": "x"}]}, "tools.0.type"),
        ({"tools": [{**TOOL, "description": ["hunter2"]}]}, "tools.0.description"),
        ({"mcp_servers": [{"url": "hunter2"}]}, "mcp_servers"),
        ({"tool_choice": "hunter2"}, "tool_choice"),
        ({"tool_choice": {}}, "tool_choice.type"),
        ({"tool_choice": {"type": ["hunter2"]}}, "tool_choice.type"),
        ({"tool_choice": {"type": "hunter2"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "auto", "disable_parallel_tool_use": "hunter2"}}, "tool_choice.disable_parallel_tool_use"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named_and_not_repeated(asked, field):
    with pytest.raises(InvalidRequest) as refused:
        to_chat({**BODY, **asked})

    assert refused.value.field == field
    assert field in refused.value.message
    assert SECRET not in refused.value.message


def test_a_schema_of_any_depth_is_answered():
    deep: dict = {}
    for _ in range(900):
        deep = {"properties": {"a": deep}, "required": ["a"], "additionalProperties": False}

    function = to_chat({**BODY, "tools": [{**TOOL, "strict": True, "input_schema": deep}]})["tools"][0]["function"]

    assert "strict" not in function


def test_what_comes_out_is_a_chat_the_gateway_takes():
    body = {**BODY, "stream": True, "system": "Be brief", "tools": [TOOL], "stop_sequences": ["END"]}

    parsed = chats.parse(json.dumps(to_chat(body)).encode(), stream_by_default=False, default_completion_tokens=7)

    assert (parsed.model, parsed.stream, parsed.most_completion_tokens, parsed.is_bounded) == (
        "claude",
        True,
        100,
        True,
    )
