"""The content of a Responses item, as chat completions know it (OpenAI Responses API, input content). Pure."""

from __future__ import annotations

from typing import Any

from shared_accounts.errors import InvalidRequest
from shared_accounts.gateway.dialects.responses_fields import may, need, objects

Part = dict[str, Any]

_TEXTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
_DETAILS = {"low", "high", "auto"}
_NOT_KEPT = "no files are kept here, send the content itself."


def parts_of(content: object, field: str) -> list[Part]:
    """Return a content's parts in chat's form; raises `InvalidRequest` for one that has none."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [_part(part, place) for place, part in objects(content, field)]


def text_of(content: object, field: str) -> str:
    """Return a content that may hold nothing but text."""
    parts = parts_of(content, field)
    for number, part in enumerate(parts):
        if part["type"] != "text":
            raise InvalidRequest(f"{field}[{number}].type must be one of text.", field=f"{field}[{number}].type")
    return joined(parts)


def joined(parts: list[Part]) -> str:
    """Return all text in the parts, a line to each."""
    return "\n".join(part["text"] for part in parts if part["type"] == "text")


def simplest(parts: list[Part]) -> str | list[Part]:
    """Return a lone text as a plain string, which every upstream understands, and anything else as parts."""
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _part(part: dict[str, Any], field: str) -> Part:
    kind = need(part.get("type"), str, f"{field}.type")
    if kind in _TEXTS:
        name = _TEXTS[kind]
        return {"type": "text", "text": need(part.get(name), str, f"{field}.{name}")}
    if kind == "input_image":
        return _image(part, field)
    if kind == "input_file":
        return _file(part, field)
    if kind == "input_audio":
        return {"type": kind, kind: need(part.get(kind), dict, f"{field}.{kind}")}
    raise InvalidRequest(f"{field}.type is of no kind that can be passed on.", field=f"{field}.type")


def _image(part: dict[str, Any], field: str) -> Part:
    if part.get("image_url") is None and part.get("file_id") is not None:
        raise InvalidRequest(f"{field}.file_id cannot be used: {_NOT_KEPT}", field=f"{field}.file_id")
    image = {"url": need(part.get("image_url"), str, f"{field}.image_url")}
    detail = may(part.get("detail"), str, f"{field}.detail")
    if detail:
        image["detail"] = detail if detail in _DETAILS else "high"  # `original`: chat's finest is high
    return {"type": "image_url", "image_url": image}


def _file(part: dict[str, Any], field: str) -> Part:
    for name in ("file_id", "file_url"):
        if part.get(name) is not None:
            raise InvalidRequest(f"{field}.{name} cannot be used: {_NOT_KEPT}", field=f"{field}.{name}")
    file = {"file_data": need(part.get("file_data"), str, f"{field}.file_data")}
    if filename := may(part.get("filename"), str, f"{field}.filename"):
        file["filename"] = filename
    return {"type": "file", "file": file}
