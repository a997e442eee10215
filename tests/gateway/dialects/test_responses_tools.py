"""Which tools the model hears of, under which names, and how the names come back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_accounts.errors import InvalidRequest
from shared_accounts.gateway.dialects.responses import to_chat
from shared_accounts.gateway.dialects.responses_names import ToolName, from_chat

PARAMETERS = {"type": "object", "properties": {"path": {"type": "string"}}}
READ = {"type": "function", "name": "read", "description": "Read.", "parameters": PARAMETERS, "strict": False}
PATCH = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Edit files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: begin end"},
}
GITHUB = {"type": "namespace", "name": "mcp__github", "description": "GitHub.", "tools": [READ, {"type": "custom", "name": "query"}]}  # fmt: skip
HOSTED = [{"type": kind} for kind in ("web_search", "local_shell", "image_generation", "tool_search", "mcp", "newest")]


def offered(*tools, given="hi", **fields):
    return to_chat({"model": "m", "input": given, "tools": list(tools), **fields})


def names(chat):
    return [tool["function"]["name"] for tool in chat.get("tools", [])]


def test_a_flat_function_becomes_a_nested_one():
    (tool,) = offered(READ)["tools"]

    assert tool == {
        "type": "function",
        "function": {"name": "read", "description": "Read.", "parameters": PARAMETERS, "strict": False},
    }


def test_nulls_are_left_out():
    bare = {"type": "function", "name": "read", "description": None, "parameters": None, "strict": None}

    assert offered(bare)["tools"] == [{"type": "function", "function": {"name": "read"}}]


def test_a_custom_tool_becomes_a_function_with_one_string():
    (tool,) = offered(PATCH)["tools"]

    assert tool["function"]["name"] == "free--apply_patch"
    assert tool["function"]["description"] == (
        "Edit files.\n\nThe input must follow this lark grammar:\nstart: begin end"
    )
    assert tool["function"]["parameters"]["required"] == ["input"]
    assert tool["function"]["parameters"]["properties"]["input"]["type"] == "string"


def test_a_namespaces_tools_pass_one_by_one():
    assert names(offered(GITHUB, READ)) == ["ns11--mcp__github__read", "free--ns11--mcp__github__query", "read"]
    assert names(offered({**GITHUB, "name": "functions"})) == ["read", "free--query"]


def test_tools_that_came_with_the_input_are_offered_too():
    later = {"type": "additional_tools", "role": "developer", "tools": [PATCH, READ]}

    assert names(offered(READ, given=[later, {"role": "user", "content": "hi"}])) == ["read", "free--apply_patch"]


def test_the_model_does_not_hear_of_what_only_a_provider_can_run():
    assert names(offered(*HOSTED, READ)) == ["read"]
    assert offered(*HOSTED, tool_choice="auto", parallel_tool_calls=False) == offered()


CHOICES = [
    ("auto", "auto"),
    ("none", "none"),
    ("required", "required"),
    (None, None),
    ({"type": "function", "name": "read"}, {"type": "function", "function": {"name": "read"}}),
    ({"type": "custom", "name": "apply_patch"}, {"type": "function", "function": {"name": "free--apply_patch"}}),
    (
        {"type": "function", "name": "read", "namespace": "mcp__github"},
        {"type": "function", "function": {"name": "ns11--mcp__github__read"}},
    ),
]


@pytest.mark.parametrize(("choice", "chosen"), CHOICES, ids=str)
def test_a_choice_is_passed_on(choice, chosen):
    assert offered(READ, PATCH, GITHUB, tool_choice=choice).get("tool_choice") == chosen


def test_only_the_allowed_tools_are_offered():
    allowed = [{"type": "custom", "name": "apply_patch"}, {"type": "web_search"}]

    chat = offered(READ, PATCH, tool_choice={"type": "allowed_tools", "mode": "required", "tools": allowed})

    assert (names(chat), chat["tool_choice"]) == (["free--apply_patch"], "required")


def test_parallel_calls_can_be_forbidden():
    assert offered(READ, parallel_tool_calls=False)["parallel_tool_calls"] is False
    assert "parallel_tool_calls" not in offered(READ)


SECRET = "s3cret"
WRONG = [
    ({"tools": SECRET}, "tools"),
    ({"tools": [SECRET]}, "tools[0]"),
    ({"tools": [READ, {}]}, "tools[1].type"),
    ({"tools": [{"type": "function"}]}, "tools[0].name"),
    ({"tools": [{**READ, "parameters": SECRET}]}, "tools[0].parameters"),
    ({"tools": [{**READ, "strict": SECRET}]}, "tools[0].strict"),
    ({"tools": [{**READ, "description": 7}]}, "tools[0].description"),
    ({"tools": [{**PATCH, "format": SECRET}]}, "tools[0].format"),
    ({"tools": [{**PATCH, "format": {"type": "grammar", "syntax": "lark"}}]}, "tools[0].format.definition"),
    ({"tools": [{**GITHUB, "name": None}]}, "tools[0].name"),
    ({"tools": [{**GITHUB, "tools": [{"type": "function"}]}]}, "tools[0].tools[0].name"),
    ({"tools": [READ], "parallel_tool_calls": SECRET}, "parallel_tool_calls"),
    ({"tools": [READ], "tool_choice": SECRET}, "tool_choice"),
    ({"tools": [READ], "tool_choice": 7}, "tool_choice"),
    ({"tools": [READ], "tool_choice": {"type": "function", "name": SECRET}}, "tool_choice.name"),
    ({"tools": [READ], "tool_choice": {"type": "custom", "name": "read"}}, "tool_choice.name"),
    ({"tools": [READ], "tool_choice": {"name": "read"}}, "tool_choice.type"),
    ({"tools": HOSTED, "tool_choice": {"type": "web_search"}}, "tool_choice"),
    ({"tools": HOSTED, "tool_choice": "required"}, "tool_choice"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": [READ], "tool_choice": {"type": "allowed_tools", "tools": SECRET}}, "tool_choice.tools"),
]


@pytest.mark.parametrize(("body", "field"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_a_tool_that_cannot_be_used_is_named_and_not_repeated(body, field):
    with pytest.raises(InvalidRequest) as refused:
        to_chat({"model": "m", "input": "hi", **body})

    assert refused.value.field == field
    assert SECRET not in refused.value.message


PLAIN_NAMES = st.text("abnsfre019-_", min_size=1, max_size=12) | st.sampled_from(["free--x", "ns3--abc__d", "ns0--", "free--ns1--a__b"])  # fmt: skip


@given(PLAIN_NAMES, st.none() | PLAIN_NAMES, st.booleans())
def test_every_name_comes_back_as_it_was(name, namespace, is_freeform):
    tool = ToolName(name, namespace, is_freeform)

    assert from_chat(tool.for_chat()) == tool


@given(PLAIN_NAMES | st.text(max_size=20))
def test_a_name_the_model_made_up_is_read_without_complaint(name):
    assert isinstance(from_chat(name).name, str)


@pytest.mark.parametrize("name", ["ns9--abc__d", "ns3--abcd", "ns3--", "ns99999--a__b"])
def test_a_name_that_only_looks_like_one_of_ours_is_taken_as_it_stands(name):
    assert from_chat(name) == ToolName(name)


def test_a_plain_name_stays_as_it_is():
    assert ToolName("shell").for_chat() == "shell"
