"""Vectors that count words: texts that share words lie close to each other."""

from __future__ import annotations

import base64
import struct
from math import sqrt
from typing import Any
from zlib import crc32

_DIMENSIONS = 256


def texts(given: Any) -> list[str]:
    """Return the texts of an input; tokens are as good as words."""
    if isinstance(given, str):
        return [given]
    if all(isinstance(one, int) for one in given):
        return [_words(given)]
    return [one if isinstance(one, str) else _words(one) for one in given]


def embed(text: str, body: dict[str, Any]) -> list[float] | str:
    """Return a text's vector of length one, in the encoding the body asks for."""
    size = body.get("dimensions") or _DIMENSIONS
    counts = [0.0] * size
    for word in text.lower().split() or [""]:
        counts[crc32(word.encode("utf-8", "surrogatepass")) % size] += 1
    length = sqrt(sum(count * count for count in counts))
    found = [count / length for count in counts]
    if body.get("encoding_format") == "base64":
        return base64.b64encode(struct.pack(f"<{size}f", *found)).decode()
    return found


def _words(tokens: Any) -> str:
    return " ".join(map(str, tokens)) if isinstance(tokens, list) else str(tokens)
