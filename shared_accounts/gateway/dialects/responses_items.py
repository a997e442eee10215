"""The items a Responses answer consists of, and the events that tell of each (Responses API, streaming events). Pure.

Invariant: an item is opened once, then fed, then closed at most once; what it says of itself at any moment is all that
was fed. Events come without their sequence numbers, which belong to the stream.
"""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import uuid4

import orjson

from shared_accounts.gateway.dialects.responses_names import ToolName

Event = dict[str, Any]

IN_PROGRESS, COMPLETED, INCOMPLETE = "in_progress", "completed", "incomplete"


class Item:
    """One item of the output, in the making."""

    kind: ClassVar[str]
    prefix: ClassVar[str]
    """What its id begins with."""
    said: ClassVar[str]
    """What its events are called."""
    value: ClassVar[str]
    """Where the finished text stands in them."""
    beside: ClassVar[dict[str, Any]] = {}
    """What goes with the text."""

    def __init__(self, place: int) -> None:
        self.id = f"{self.prefix}_{uuid4().hex}"
        self.status = IN_PROGRESS
        self._place = place
        self._pieces: list[str] = []

    @property
    def text(self) -> str:
        """All that was fed."""
        return "".join(self._pieces)

    def shown(self) -> dict[str, Any]:
        """Return the item as it stands."""
        return {"id": self.id, "type": self.kind, **self._told()}

    def open(self) -> list[Event]:
        """Tell that it begins."""
        return [self._whole("added")]

    def add(self, piece: str) -> list[Event]:
        """Take what comes next."""
        self._pieces.append(piece)
        return [self._event(f"{self.said}.delta", delta=piece, **self.beside)]

    def close(self, status: str) -> list[Event]:
        """Tell that it is over."""
        self.status = status
        said = self._event(f"{self.said}.done", **{self.value: self.text}, **self._beside_the_end())
        return [said, self._whole("done")]

    def _beside_the_end(self) -> dict[str, Any]:
        return self.beside

    def _told(self) -> dict[str, Any]:
        raise NotImplementedError

    def _whole(self, what: str) -> Event:
        return {"type": f"response.output_item.{what}", "output_index": self._place, "item": self.shown()}

    def _event(self, name: str, /, **facts: object) -> Event:
        return {"type": f"response.{name}", "item_id": self.id, "output_index": self._place, **facts}


class _Spoken(Item):
    """An item with one part, which is opened and closed within it."""

    part: ClassVar[str]
    index: ClassVar[str]

    def open(self) -> list[Event]:
        """Tell that it begins, and its part."""
        return [*super().open(), self._event(f"{self.part}.added", part=self._portion())]

    def close(self, status: str) -> list[Event]:
        """Tell that its part is over, and it too."""
        said, whole = super().close(status)
        return [said, self._event(f"{self.part}.done", part=self._portion()), whole]

    def _portion(self) -> dict[str, Any]:
        raise NotImplementedError

    def _portions(self) -> list[dict[str, Any]]:
        """Return the parts there are: none before the first word."""
        return [self._portion()] if self._pieces else []

    def _event(self, name: str, /, **facts: object) -> Event:
        return super()._event(name, **{self.index: 0}, **facts)


class Message(_Spoken):
    """What the model says."""

    kind = "message"
    prefix, said, value = "msg", "output_text", "text"
    part, index = "content_part", "content_index"
    beside: ClassVar[dict[str, Any]] = {"logprobs": []}

    def _portion(self) -> dict[str, Any]:
        return {"type": "output_text", "annotations": [], "logprobs": [], "text": self.text}

    def _told(self) -> dict[str, Any]:
        return {"status": self.status, "role": "assistant", "content": self._portions()}


class Refusal(Message):
    """What the model will not say."""

    said, value = "refusal", "refusal"
    beside: ClassVar[dict[str, Any]] = {}

    def _portion(self) -> dict[str, Any]:
        return {"type": "refusal", "refusal": self.text}


class Reasoning(_Spoken):
    """What the model thinks, told as a summary: that is what clients show."""

    kind = "reasoning"
    prefix, said, value = "rs", "reasoning_summary_text", "text"
    part, index = "reasoning_summary_part", "summary_index"

    def _portion(self) -> dict[str, Any]:
        return {"type": "summary_text", "text": self.text}

    def _told(self) -> dict[str, Any]:
        return {"summary": self._portions()}


class FunctionCall(Item):
    """A call of one of the client's tools, its arguments being JSON."""

    kind = "function_call"
    prefix, said, value = "fc", "function_call_arguments", "arguments"

    def __init__(self, place: int, call_id: str, name: ToolName) -> None:
        super().__init__(place)
        self.call_id = call_id
        self._name = name

    def _told(self) -> dict[str, Any]:
        namespace = {"namespace": self._name.namespace} if self._name.namespace else {}
        told = {"status": self.status, "call_id": self.call_id, "name": self._name.name}
        return {**told, **namespace, self.value: self.text}

    def _beside_the_end(self) -> dict[str, Any]:
        return {"name": self._name.name}


class CustomCall(FunctionCall):
    """A call of a tool that takes free text: the model wrote it as JSON, which is taken off when it is whole."""

    kind = "custom_tool_call"
    prefix, said, value = "ctc", "custom_tool_call_input", "input"

    @property
    def text(self) -> str:
        """The text in the JSON; what is no such JSON stands for itself, so that the tool can say what is wrong."""
        written = "".join(self._pieces)
        try:
            told = orjson.loads(written)
        except orjson.JSONDecodeError:
            return written
        text = told.get("input") if isinstance(told, dict) else None
        return text if isinstance(text, str) else written

    def add(self, piece: str) -> list[Event]:
        """Take what comes next; nothing is told before the JSON is whole."""
        self._pieces.append(piece)
        return []

    def close(self, status: str) -> list[Event]:
        """Tell its text, in one piece, and that it is over."""
        return [self._event(f"{self.said}.delta", delta=self.text), *super().close(status)]

    def _beside_the_end(self) -> dict[str, Any]:
        return {}
