"""A multipart/form-data body, read in place (RFC 7578; RFC 2046, section 5.1). Pure.

Invariant: a body is taken apart at every place where its boundary stands, or refused. So nothing that an upstream's
parser, however lenient, might take for a part lies hidden in a file, and a part's value is replaced without touching
another byte.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from werkzeug.http import parse_options_header

from shared_accounts.errors import InvalidRequest

MEDIA_TYPE = "multipart/form-data"

_BOUNDARY = re.compile(r"[\w'()+,./:=? -]{0,69}[\w'()+,./:=?-]", re.ASCII)
_A_TOKEN = re.compile(r"[\w.+'-]+", re.ASCII)
_DISPOSITION = re.compile(rb"content-disposition[ \t]*:", re.IGNORECASE)
_ENCODED_NAME = re.compile(rb";\s*name\s*\*", re.IGNORECASE)
_LONGEST_HEAD = 4096
_MOST_PARTS = 200


class Part(NamedTuple):
    """One part: its name, whether it is a file, and where in the body its value lies."""

    name: str
    is_file: bool
    start: int
    end: int


class File(NamedTuple):
    """What is told of an uploaded file: its size in bytes."""

    size: int


def content_type(given: str) -> str:
    """Return a request's content type with nothing in it but the boundary; raises `InvalidRequest`."""
    boundary = _boundary(given)
    return f"{MEDIA_TYPE}; boundary=" + (boundary if _A_TOKEN.fullmatch(boundary) else f'"{boundary}"')


def fields(raw: bytes, given: str) -> dict[str, Any]:
    """Return the fields of a body by name: texts, `File`s, and lists of them for names that come twice or end in `[]`.

    Raises `InvalidRequest` when the body is not what its content type says.
    """
    found: dict[str, Any] = {}
    for part in _parts(raw, given):
        value = File(part.end - part.start) if part.is_file else _text(raw[part.start : part.end], part.name)
        name = part.name.removesuffix("[]")
        if name in found or name != part.name:
            before = found.get(name, [])
            found[name] = [*(before if isinstance(before, list) else [before]), value]
        else:
            found[name] = value
    return found


def with_text(raw: bytes, given: str, name: str, text: str) -> bytes:
    """Return the body with another value in the parts of this name that are no files."""
    for part in reversed(_parts(raw, given)):
        if part.name == name and not part.is_file:
            raw = raw[: part.start] + text.encode() + raw[part.end :]
    return raw


def _parts(raw: bytes, given: str) -> list[Part]:
    mark = b"--" + _boundary(given).encode()
    preamble, *pieces = raw.split(mark, _MOST_PARTS + 2)
    if len(pieces) > _MOST_PARTS + 1:
        raise InvalidRequest(f"The body has more than {_MOST_PARTS} parts.")
    if not pieces or not pieces[-1].startswith(b"--") or (preamble and not preamble.endswith(b"\r\n")):
        raise _malformed()
    found, at = [], len(preamble)
    for piece in pieces[:-1]:
        at += len(mark)
        found.append(_part(piece, at))
        at += len(piece)
    return found


def _part(piece: bytes, at: int) -> Part:
    """Read what stands between two boundaries; `at` is where in the body it begins."""
    head, empty_line, _ = piece[:_LONGEST_HEAD].partition(b"\r\n\r\n")
    start, end = len(head) + len(empty_line), len(piece) - len(b"\r\n")
    first, *lines = head.split(b"\r\n")
    named = [line for line in lines if _DISPOSITION.match(line)]
    is_folded = any(line[:1] in {b" ", b"\t"} for line in lines)
    if not empty_line or first.strip(b" \t") or start > end or not piece.endswith(b"\r\n"):
        raise _malformed()
    if len(named) != 1 or is_folded or _ENCODED_NAME.search(named[0]):
        raise _malformed()
    kind, options = parse_options_header(_DISPOSITION.sub(b"", named[0], count=1).decode("utf-8", "replace"))
    if kind.lower() != "form-data" or not options.get("name"):
        raise _malformed()
    return Part(options["name"], "filename" in options, at + start, at + end)


def _boundary(given: str) -> str:
    boundary = parse_options_header(given)[1].get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise InvalidRequest("The Content-Type names no usable boundary.", field="Content-Type")
    return boundary


def _text(value: bytes, name: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidRequest(f"{name} is not UTF-8.", field=name) from None


def _malformed() -> InvalidRequest:
    return InvalidRequest("The body is not the multipart/form-data that its Content-Type says.")
