"""What Gemini's API calls things: refusals, usage, and how much a part of a content weighs. Pure.

Google's "Standard error model" (AIP-193) and its mapping of HTTP statuses to canonical codes.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson

BYTES_PER_TOKEN = 3
_TOKENS_PER_PICTURE = 1290
_TYPES = "type.googleapis.com/google.rpc."
_BY_STATUS: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "UNAUTHENTICATED",
    HTTPStatus.FORBIDDEN: "PERMISSION_DENIED",
    HTTPStatus.NOT_FOUND: "NOT_FOUND",
    HTTPStatus.METHOD_NOT_ALLOWED: "UNIMPLEMENTED",
    HTTPStatus.CONFLICT: "ABORTED",
    HTTPStatus.TOO_MANY_REQUESTS: "RESOURCE_EXHAUSTED",
    HTTPStatus.NOT_IMPLEMENTED: "UNIMPLEMENTED",
    HTTPStatus.BAD_GATEWAY: "UNAVAILABLE",
    HTTPStatus.SERVICE_UNAVAILABLE: "UNAVAILABLE",
    HTTPStatus.GATEWAY_TIMEOUT: "DEADLINE_EXCEEDED",
}

_COUNTS = (
    "promptTokenCount",
    "toolUsePromptTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "cachedContentTokenCount",
)


def refusal(
    status: int, message: str, *, field: str | None = None, retry_after: int | None = None, **more: object
) -> dict[str, Any]:
    """Return a refusal's body; the field that cannot be used and the seconds to wait stand where Google has them."""
    otherwise = "INTERNAL" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "INVALID_ARGUMENT"
    error: dict[str, Any] = {"code": status, "message": message, "status": _BY_STATUS.get(status, otherwise)}
    details: list[dict[str, Any]] = []
    if field:
        details.append({"@type": f"{_TYPES}BadRequest", "fieldViolations": [{"field": field, "description": message}]})
    if retry_after is not None:
        details.append({"@type": f"{_TYPES}RetryInfo", "retryDelay": f"{retry_after}s"})
    return {"error": {**more, **error, **({"details": details} if details else {})}}


def usage_of(metadata: object) -> dict[str, Any] | None:
    """Return a `usageMetadata` in OpenAI's words; thoughts are completion, what tools read is prompt."""
    if not isinstance(metadata, dict) or "promptTokenCount" not in metadata:
        return None
    counts = {name: metadata.get(name) or 0 for name in _COUNTS}
    if not all(isinstance(count, int) for count in counts.values()):
        return {"prompt_tokens": None}
    return {
        "prompt_tokens": counts["promptTokenCount"] + counts["toolUsePromptTokenCount"],
        "completion_tokens": counts["candidatesTokenCount"] + counts["thoughtsTokenCount"],
        "prompt_tokens_details": {"cached_tokens": counts["cachedContentTokenCount"]},
    }


def weight(part: object) -> int:
    """Return the tokens a part probably takes: pictures and other data count flat, however many bytes they are."""
    if not isinstance(part, dict):
        return 1
    if isinstance(part.get("text"), str):
        return len(part["text"].encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN + 1
    if part.keys() & {"inlineData", "inline_data", "fileData", "file_data"}:
        return _TOKENS_PER_PICTURE
    return size(part)


def size(value: object) -> int:
    """Return the tokens that anything else probably takes, written down."""
    return len(orjson.dumps(value)) // BYTES_PER_TOKEN + 1


def parts(content: object) -> list[Any]:
    """Return the parts of a content, none if it has none."""
    found = content.get("parts") if isinstance(content, dict) else None
    return found if isinstance(found, list) else []
