"""Anthropic's Messages API for clients (`/v1/messages`, `/v1/messages/count_tokens`) and for native upstreams. Pure."""

from __future__ import annotations

from shared_accounts.gateway.dialects.messages_answer import from_completion, refusal
from shared_accounts.gateway.dialects.messages_count import count_tokens, estimate
from shared_accounts.gateway.dialects.messages_meter import DONE, Meter
from shared_accounts.gateway.dialects.messages_native import native
from shared_accounts.gateway.dialects.messages_request import to_chat
from shared_accounts.gateway.dialects.messages_stream import Stream

__all__ = ["DONE", "Meter", "Stream", "count_tokens", "estimate", "from_completion", "native", "refusal", "to_chat"]
