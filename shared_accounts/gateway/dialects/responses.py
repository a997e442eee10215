"""The OpenAI Responses dialect, whole: what the gateway needs of it, under one name. Pure."""

from __future__ import annotations

from shared_accounts.gateway.dialects.responses_answer import from_completion, refusal
from shared_accounts.gateway.dialects.responses_meter import Meter
from shared_accounts.gateway.dialects.responses_request import estimate, to_chat
from shared_accounts.gateway.dialects.responses_stream import Stream

__all__ = ["Meter", "Stream", "estimate", "from_completion", "native", "refusal", "to_chat"]


def native(raw: bytes) -> bytes:
    """Return the body for an upstream that speaks the dialect: the very bytes."""
    return raw
