"""The two ways the Plug-in API can fail us, told as facts: it refused, or nothing to be believed came back.

Invariant: neither carries a secret. What a refusal says is one short line of printable text, without anything that
looks like a key; as exceptions both print facts only, never the Plug-in's words, which may name people.
"""

from __future__ import annotations

import re
from enum import StrEnum

_LONGEST_READ = 4096
_LONGEST_MESSAGE = 300
_KEY = re.compile(r"sk-[A-Za-z0-9_-]{8,}")


class Kind(StrEnum):
    """What a refusal is about, where its text is one of those known; the status alone often does not say."""

    NO_ACCOUNT = "no_account"
    NO_QUOTA = "no_quota"
    STATE = "state"
    GRANT = "grant"
    DUPLICATE = "duplicate"
    INELIGIBLE = "ineligible"
    NO_USER = "no_user"
    NO_ROW = "no_row"
    OTHER = "other"


# The Plug-in answers 500 to all of these, and tells them apart in words only.
_WORDS = {
    Kind.NO_ACCOUNT: re.compile("没有可用的账号"),
    Kind.NO_QUOTA: re.compile("配额.{0,3}已耗尽|配额不足|RESOURCE_EXHAUSTED"),
    Kind.STATE: re.compile("Invalid or expired state", re.IGNORECASE),
    Kind.GRANT: re.compile("invalid_grant"),
    Kind.DUPLICATE: re.compile("邮箱已被添加"),
    Kind.INELIGIBLE: re.compile("没有资格使用"),
    Kind.NO_USER: re.compile("用户不存在"),
    Kind.NO_ROW: re.compile("配额记录不存在"),
}


class PluginRefused(Exception):
    """The Plug-in answered with an error: its status, its words if it had any, and seconds until it may again.

    `message` is empty where the answer was no JSON: a page is for browsers, and may come from somebody in between.
    """

    def __init__(self, status: int, message: str = "", *, retry_after: int | None = None) -> None:
        words = _KEY.sub("[secret]", _printable(message[:_LONGEST_READ]))
        self.status = status
        self.kind = next((kind for kind, known in _WORDS.items() if known.search(words)), Kind.OTHER)
        self.message = words[:_LONGEST_MESSAGE]
        self.retry_after = retry_after
        super().__init__(f"the Plug-in API answered {status} ({self.kind})")


class PluginUnreachable(Exception):
    """No answer came, or none that the Plug-in gives: refused, cut, redirected, too long, not JSON, or too late.

    Whether the request had an effect is unknown.
    """

    def __init__(self, *, timed_out: bool = False) -> None:
        self.timed_out = timed_out
        super().__init__("the Plug-in API did not answer in time" if timed_out else "the Plug-in API cannot be reached")


def _printable(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
