"""What the demo answers to a chat: words, JSON in the form asked for, or calls of tools."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from shared_accounts.local.demo import tools
from shared_accounts.local.demo.filling import Filler, quoted

_ECHO = 30


@dataclass(frozen=True)
class Said:
    """An answer; `words` are its text in the pieces that a stream would bring."""

    words: list[str]
    calls: list[dict[str, Any]]
    finish: str
    usage: dict[str, int]
    choices: int

    @property
    def message(self) -> dict[str, Any]:
        """The answer as one message."""
        message = {"role": "assistant", "content": "".join(self.words) or None, "refusal": None}
        return {**message, "tool_calls": self.calls} if self.calls else message


def answer(body: dict[str, Any]) -> Said:
    """Answer a body that was checked."""
    last = _last_said(body["messages"])
    asked = _last_text(last) if last["role"] == "user" else ""
    called = tools.calls(body, asked)
    words = [] if called else re.findall(r"\s*\S+", _until_a_stop(body, _text(body, last, asked)))
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or len(words)
    finish = "tool_calls" if called else "length" if limit < len(words) else "stop"
    words, choices = words[:limit], body.get("n") or 1
    prompt, completion = sum(len(text_of(one).split()) for one in body["messages"]), (len(words) or 1) * choices
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return Said(words, called, finish, usage, choices)


def text_of(message: dict[str, Any]) -> str:
    """Return what a message says in words."""
    content = message.get("content") or ""
    if isinstance(content, list):
        return " ".join(str(part.get("text") or "") for part in content if isinstance(part, dict)).strip()
    return str(content)


def _last_said(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the last word of whoever is no operator: coding agents add instructions even after it."""
    said = [one for one in messages if one["role"] not in {"system", "developer"}]
    return (said or messages)[-1]


def _last_text(message: dict[str, Any]) -> str:
    """Return a message's last text: what agents put before it is theirs."""
    content = message.get("content") or ""
    if isinstance(content, list):
        texts = [str(part["text"]) for part in content if isinstance(part, dict) and part.get("text")]
        return texts[-1] if texts else ""
    return str(content)


def _text(body: dict[str, Any], last: dict[str, Any], asked: str) -> str:
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        schema = (form.get("json_schema") or {}).get("schema") or {}
        return json.dumps(Filler(asked).fill(schema), ensure_ascii=False)
    if form.get("type") == "json_object":
        return json.dumps(dict.fromkeys(quoted(asked), "demo") or {"answer": "demo"}, ensure_ascii=False)
    return _plain(last, asked)


def _plain(last: dict[str, Any], asked: str) -> str:
    pictures = _count_pictures(last)
    seen = f" You showed {pictures} picture{'s' * (pictures > 1)}." if pictures else ""
    heard = f" The tool said: {_first_words(text_of(last))}" if last["role"] == "tool" else ""
    echo = f" You wrote: {_first_words(asked)}" if asked else ""
    return (
        "This is the demo of shared_accounts; no real model is answering. Contribute an account in the console to"
        f" talk to one.{seen}{heard}{echo}"
    )


def _first_words(text: str) -> str:
    return " ".join(text.split()[:_ECHO])


def _count_pictures(message: dict[str, Any]) -> int:
    content = message.get("content")
    return sum(isinstance(part, dict) and part.get("type") == "image_url" for part in content or ()) if content else 0


def _until_a_stop(body: dict[str, Any], text: str) -> str:
    stops = body.get("stop") or []
    for stop in [stops] if isinstance(stops, str) else stops:
        text = text.partition(str(stop))[0] if stop else text
    return text
