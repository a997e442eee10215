"""What a request that is no chat will probably take: prompt and completion tokens, from its fields. Pure.

It is what is reserved, and what is charged where the upstream gives no usage, so it leans to the safe side. Each raises
`InvalidRequest` naming the field that cannot be used.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from shared_accounts.errors import InvalidRequest
from shared_accounts.gateway.multipart import File

_BYTES_PER_TOKEN = 3
_TOKENS_PER_PICTURE_SEEN = 1000
_TOKENS_PER_PICTURE_MADE = 4000  # about what OpenAI's dearest square takes
_SOUND_BYTES_PER_TOKEN = 1000  # ten tokens a second, at 80 kbit/s
_SOUND_BYTES_PER_WORD = 4000
_MOST_AT_ONCE = 128
_MOST_TOKENS = 10_000_000


class Estimate(NamedTuple):
    """Tokens, of the prompt and at most of the completion."""

    prompt: int
    completion: int = 0


def completions(body: dict[str, Any], most: int) -> Estimate:
    """Legacy completions: each prompt, and for each as many answers as were asked for, `most` tokens unless bounded."""
    prompt = _given(body, "prompt")
    prompts = len(prompt) if isinstance(prompt, list) and not isinstance(prompt[0], int) else 1
    answers = max(_count(body, "n", 1, _MOST_AT_ONCE), _count(body, "best_of", 1, _MOST_AT_ONCE))
    return Estimate(_texts(body, "prompt"), _count(body, "max_tokens", most, _MOST_TOKENS) * answers * prompts)


def vectors(body: dict[str, Any], _most: int) -> Estimate:
    """Embeddings: texts, or the numbers of their tokens; nothing is completed."""
    return Estimate(_texts(body, "input"))


def moderations(body: dict[str, Any], _most: int) -> Estimate:
    """Texts and pictures to judge."""
    return Estimate(_texts(body, "input"))


def ranking(body: dict[str, Any], _most: int) -> Estimate:
    """Documents to order, read beside one query."""
    return Estimate(_text(body, "query") + _texts(body, "documents"))


def pictures(body: dict[str, Any], _most: int) -> Estimate:
    """Pictures made from words: so much for each."""
    return Estimate(_text(body, "prompt"), _made(body))


def changed_pictures(body: dict[str, Any], _most: int) -> Estimate:
    """Pictures changed as words say."""
    return Estimate(_text(body, "prompt") + _shown(body, "image" if "image" in body else "images"), _made(body))


def varied_pictures(body: dict[str, Any], _most: int) -> Estimate:
    """Pictures like another one."""
    return Estimate(_shown(body, "image"), _made(body))


def speech(body: dict[str, Any], _most: int) -> Estimate:
    """Speech: a token of sound for each character to be read aloud."""
    return Estimate(_text(body, "input"), len(body["input"]))


def transcripts(body: dict[str, Any], _most: int) -> Estimate:
    """Transcripts: by the size of the recording."""
    recording = _given(body, "file")
    if not isinstance(recording, File):
        raise InvalidRequest("file must be an uploaded file.", field="file")
    hint = body.get("prompt")
    words = _tokens(hint) if isinstance(hint, str) else 0
    return Estimate(recording.size // _SOUND_BYTES_PER_TOKEN + words, recording.size // _SOUND_BYTES_PER_WORD + 1)


def _given(body: dict[str, Any], name: str) -> Any:
    value = body.get(name)
    if value is None or value in ("", []):
        raise InvalidRequest(f"{name} is required.", field=name)
    return value


def _text(body: dict[str, Any], name: str) -> int:
    value = _given(body, name)
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} must be a text.", field=name)
    return _tokens(value)


def _texts(body: dict[str, Any], name: str) -> int:
    value = _given(body, name)
    total = _tokens_in(value)
    if total is None:
        raise InvalidRequest(f"{name} must be a text or a list of them.", field=name)
    return total


def _tokens_in(value: object) -> int | None:
    """Return the tokens of a text, of a list of tokens, or of a list of any of these or of parts; else nothing."""
    if isinstance(value, str):
        return _tokens(value)
    if not isinstance(value, list):
        return None
    if all(_is_number(one) for one in value):
        return len(value)
    found = [_tokens_of_one(one) for one in value]
    return sum(one or 0 for one in found) if None not in found else None


def _tokens_of_one(value: object) -> int | None:
    if isinstance(value, str):
        return _tokens(value)
    if isinstance(value, list) and all(_is_number(one) for one in value):
        return len(value)
    if isinstance(value, dict):
        return _tokens(value["text"]) if isinstance(value.get("text"), str) else _TOKENS_PER_PICTURE_SEEN
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _tokens(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass")) // _BYTES_PER_TOKEN + 1


def _shown(body: dict[str, Any], name: str) -> int:
    value = _given(body, name)
    shown = value if isinstance(value, list) else [value]
    if not all(isinstance(one, File | dict) and one is not None for one in shown):
        raise InvalidRequest(f"{name} must be a picture or a list of them.", field=name)
    return len(shown) * _TOKENS_PER_PICTURE_SEEN


def _made(body: dict[str, Any]) -> int:
    return _count(body, "n", 1, _MOST_AT_ONCE) * _TOKENS_PER_PICTURE_MADE


def _count(body: dict[str, Any], name: str, default: int, most: int) -> int:
    """Read a whole number; in a form it comes as text."""
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < len(str(_MOST_TOKENS)) + 1:
        value = int(value)
    if not _is_number(value) or not 1 <= value <= most:
        raise InvalidRequest(f"{name} must be a whole number from 1 to {most}.", field=name)
    return int(value)
