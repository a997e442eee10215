"""What the models say. No model is real: the answer follows from the model's name and from the last message.

A model that thinks begins with reasoning, unless the last message is a tool's; one with `image` in its name ends with
an image; a tool that the last message names is called. A last message that begins with `!` is obeyed:

    !error MESSAGE            fail before the first word, the upstream's status being 500 unless MESSAGE has one
    !late-error MESSAGE       fail after the words
    !say ["a", " ", "b"]      say these parts; those of nothing but white space get lost
    !words N                  say N words
    !unfinished TEXT          end without a finish reason: calls of tools get lost
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

_THINKING = re.compile(r".*-thinking|gemini-2\.5-pro|gemini-3-pro-.*|rev19-uic3-1p|gpt-oss-120b-medium")
_COMMAND = re.compile(r"!(error|late-error|say|words|unfinished)(?:\s+(.*))?", re.DOTALL)
_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@dataclass
class Script:
    """What will be said, piece by piece."""

    reasoning: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    error: str | None = None

    @property
    def finish_reason(self) -> str:
        """Say how it ends well; nothing else is ever told."""
        return "tool_calls" if self.calls else "stop"

    @property
    def content(self) -> str:
        """Return everything that is text."""
        return "".join(self.parts + self.images)


def compose(model: str, messages: list[Any], tools: list[Any], image_bytes: int) -> Script:
    """Decide what the model says to these messages."""
    last = messages[-1] if messages and isinstance(messages[-1], dict) else {}
    asked = text_of(last)
    script = Script()
    if _THINKING.fullmatch(model) and last.get("role") != "tool":
        script.reasoning = ["Let me think about this. ", "Now I know."]
    if "image" in model:
        script.images = [f"\n![生成的图像](data:image/png;base64,{image(image_bytes)})\n"]
    if last.get("role") == "user":
        script.calls = _calls(model, tools, asked)
    script.parts = [] if script.calls else _words(asked)
    command = _COMMAND.fullmatch(asked)
    if command:
        _obey(script, command[1], command[2] or "")
    return script


def image(size: int) -> str:
    """Return base64 of this many characters that begins as a PNG does."""
    return (_PIXEL + "A" * max(0, size - len(_PIXEL)))[: max(4, size - size % 4)]


def text_of(message: Any) -> str:
    """Return the text parts of a message."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")


def _words(asked: str) -> list[str]:
    echo = f" You wrote: {' '.join(asked.split()[:30])}" if asked else ""
    text = f"This is a Plug-in API server for trying things out; no real model is answering.{echo}"
    return re.findall(r"\S+\s*", text)


def _calls(model: str, tools: list[Any], asked: str) -> list[dict[str, Any]]:
    """Call the first tool if it was named. The items have no index; Gemini's carry what it wants back next time."""
    try:
        name = str(tools[0]["function"]["name"])
    except (IndexError, KeyError, TypeError):
        return []
    if name not in asked:
        return []
    call: dict[str, Any] = {"id": "call_1", "type": "function"}
    call["function"] = {"name": name, "arguments": json.dumps({"asked": asked}, ensure_ascii=False)}
    if model.startswith("gemini"):
        call["extra_content"] = {"google": {"thought_signature": "c2lnbmF0dXJl"}}
    return [call]


def _obey(script: Script, command: str, rest: str) -> None:
    if command == "error":
        script.reasoning, script.parts, script.calls, script.images = [], [], [], []
    if command in {"error", "late-error"}:
        script.error = rest or "UNKNOWN"
    if command == "say":
        script.parts = [part for part in _list(rest) if part.strip()]
    if command == "words":
        script.parts = [f"word{number} " for number in range(int(rest) if rest.isdecimal() else 0)]
    if command == "unfinished":
        script.calls = []


def _list(text: str) -> list[str]:
    try:
        return [str(part) for part in json.loads(text)]
    except (ValueError, TypeError):
        return []
