"""The messages of a chat, put together from the items of a Responses input. Pure.

Chat completions want what Responses leave open: everything the assistant did before it was answered is one message,
and the results of its calls follow it at once, whatever came in between. Responses only say which call a result is for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from shared_accounts.gateway.dialects.responses_parts import Part, joined, simplest

Message = dict[str, Any]

_SEE_BELOW = "The result is attached to the next message."


@dataclass(slots=True)
class _Turn:
    """A message, and what must follow it: the results of its calls, then what of them is no text."""

    message: Message
    results: list[Message] = field(default_factory=list)
    attached: list[Part] = field(default_factory=list)

    def messages(self) -> list[Message]:
        attached = [{"role": "user", "content": self.attached}] if self.attached else []
        return [self.message, *self.results, *attached]


class History:
    """What was said so far."""

    def __init__(self) -> None:
        self._turns: list[_Turn] = []
        self._calls: dict[str, _Turn] = {}
        self._thought = ""

    def messages(self) -> list[Message]:
        """Return what a chat body's `messages` should be."""
        return [message for turn in self._turns for message in turn.messages()]

    def instruct(self, text: str) -> None:
        """Add instructions; adjacent ones become one message, as strict chat templates allow but one."""
        last = self._turns[-1].message if self._turns else {}
        if last.get("role") == "system":
            last["content"] += "\n\n" + text
        else:
            self._add({"role": "system", "content": text})

    def ask(self, parts: list[Part]) -> None:
        """Add what the user says."""
        self._add({"role": "user", "content": simplest(parts)})

    def reply(self, text: str) -> None:
        """Add what the assistant says."""
        message = self._assistant().message
        message["content"] = text if message["content"] is None else f"{message['content']}\n{text}"

    def think(self, text: str) -> None:
        """Add what the assistant thinks; it stays only beside a call, where some upstreams insist on it."""
        self._thought += text

    def call(self, call_id: str, name: str, arguments: str) -> None:
        """Add a call of the assistant's."""
        turn = self._assistant()
        if self._thought:
            turn.message["reasoning_content"] = turn.message.get("reasoning_content", "") + self._thought
            self._thought = ""
        function = {"name": name, "arguments": arguments or "{}"}
        turn.message.setdefault("tool_calls", []).append({"id": call_id, "type": "function", "function": function})
        self._calls[call_id] = turn

    def knows(self, call_id: str) -> bool:
        """Tell whether such a call was made."""
        return call_id in self._calls

    def result(self, call_id: str, parts: list[Part]) -> None:
        """Add what came of a call that was made; what of it is no text goes into a message after the results."""
        turn = self._calls[call_id]
        attached = [part for part in parts if part["type"] != "text"]
        text = joined(parts) or (_SEE_BELOW if attached else "")
        turn.results.append({"role": "tool", "tool_call_id": call_id, "content": text})
        turn.attached += attached

    def _assistant(self) -> _Turn:
        last = self._turns[-1] if self._turns else None
        if last and last.message["role"] == "assistant" and not last.results:
            return last
        return self._add({"role": "assistant", "content": None})

    def _add(self, message: Message) -> _Turn:
        if message["role"] != "assistant":
            self._thought = ""
        self._turns.append(_Turn(message))
        return self._turns[-1]
