"""How tests make the server misbehave, and see what reached it. Not part of the Plug-in API.

    POST /_control          {"next": [...], "exhausted": [...], "fractions": {...}, "image_bytes": n,
                             "old_shared_pool": bool, "disabled": [...]}; what is not named stays as it is
    GET  /_control/seen     {"requests": [...], "users": {name: how many}}
    POST /_control/reset    forget everything

Each of them wants the header `X-Control-Token`. An entry of `next` applies to the next `times` (1) requests whose
`method` and whole `path` (a regular expression) fit, and has one or more of these effects:

    "stall": seconds        wait before anything else
    "refuse": true          close the connection unread
    "status": 500           answer so and do nothing; with "body": any JSON, with "html": true as an error page,
                            with "headers": {...}
    "lose_answer": true     do the work, then close the connection instead of answering
    "frames": k             let k frames of a stream pass, then break it off; with "pause": seconds, go on after them

`exhausted` are models that every account is refused for, whatever its quota says; `fractions` is what Google says is
left of a model, on every account, from now on; `image_bytes` is the size of an image. `disabled` are the `cookie_id`s
of accounts that go out of service now as if their provider had revoked them: what they earned stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any


class BadControl(Exception):
    """The message names the field that cannot be understood."""


@dataclass
class Rule:
    """One entry of `next`."""

    path: str = ".*"
    method: str | None = None
    times: int = 1
    stall: float = 0.0
    refuse: bool = False
    status: int | None = None
    body: Any = None
    html: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    lose_answer: bool = False
    frames: int | None = None
    pause: float | None = None

    def fits(self, method: str, path: str) -> bool:
        """Say whether this request is meant."""
        return self.times > 0 and self.method in {None, method} and re.fullmatch(self.path, path) is not None


_KINDS: dict[str, type | tuple[type, ...]] = {
    "path": str,
    "method": str,
    "times": int,
    "stall": (int, float),
    "refuse": bool,
    "status": int,
    "body": object,
    "html": bool,
    "headers": dict,
    "lose_answer": bool,
    "frames": int,
    "pause": (int, float),
}


@dataclass
class Switches:
    """What is out of order, and what has been seen."""

    rules: list[Rule] = field(default_factory=list)
    exhausted: set[str] = field(default_factory=set)
    fractions: dict[str, Decimal] = field(default_factory=dict)
    image_bytes: int = 60
    old_shared_pool: bool = False
    disabled: list[str] = field(default_factory=list)
    seen: list[dict[str, Any]] = field(default_factory=list)

    def take_rule(self, method: str, path: str) -> Rule | None:
        """Return what shall happen to this request; each match uses a rule up a little."""
        rule = next((rule for rule in self.rules if rule.fits(method, path)), None)
        if rule:
            rule.times -= 1
        return rule

    def change(self, wanted: dict[str, Any]) -> None:
        """Set what is named; raises `BadControl`, and then nothing has changed."""
        changes = {}
        for name, value in wanted.items():
            if name not in _READERS:
                raise BadControl(f"`{name}` is no switch.")
            try:
                changes[name] = _READERS[name](value)
            except (TypeError, ValueError, AttributeError, InvalidOperation, re.error):
                raise BadControl(f"`{name}` has the wrong form.") from None
        self.rules += changes.pop("next", [])
        for name, read in changes.items():
            setattr(self, name, read)


_READERS: dict[str, Callable[[Any], Any]] = {
    "next": lambda entries: [_rule(entry) for entry in entries],
    "exhausted": set,
    "fractions": lambda given: {model: Decimal(str(value)) for model, value in given.items()},
    "image_bytes": int,
    "old_shared_pool": bool,
    "disabled": list,
}


def _rule(entry: dict[str, Any]) -> Rule:
    for name, value in entry.items():
        if name not in _KINDS:
            raise BadControl(f"`next` knows no `{name}`.")
        if not isinstance(value, _KINDS[name]):
            raise BadControl(f"`{name}` in `next` has the wrong type.")
    rule = Rule(**entry)
    re.compile(rule.path)
    return rule
