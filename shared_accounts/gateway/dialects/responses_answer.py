"""A whole answer, and a refusal, as the Responses API gives them. Pure."""

from __future__ import annotations

from typing import Any

from shared_accounts.gateway.dialects.responses_output import Output

_FIELDS = {
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "messages": "input",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
    "verbosity": "text.verbosity",
}
"""What a chat body's fields are called in a Responses body."""


def from_completion(completion: dict[str, Any], *, model: str) -> dict[str, Any]:
    """Return a chat completion as a response object; `model` is the name the client asked for.

    It is a stream of one chunk, so whole and streamed answers cannot differ.
    """
    output = Output(model=model)
    *_, last = [*output.take(completion), *output.end()]
    whole: dict[str, Any] = last["response"]
    return whole


def refusal(
    status: int,  # noqa: ARG001 - the type says it
    message: str,
    *,
    type: str,  # noqa: A002 - OpenAI's word
    code: str | None,
    param: str | None,
    request_id: str,  # noqa: ARG001 - a header says it
) -> dict[str, Any]:
    """Return the body of an error: OpenAI's one shape for all its APIs, its `param` in the words of this one."""
    root = (param or "").partition("[")[0].partition(".")[0]
    return {"error": {"message": message, "type": type, "param": _FIELDS.get(root, param), "code": code}}
