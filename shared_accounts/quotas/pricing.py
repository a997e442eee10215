"""What an exchange is expected to cost, and what it did cost. Pure; integers only.

One unit is the reference allowance of a model group, so a weighted token costs
`1,000,000 / reference` micro-units (specification section 5). Rounding is upwards: a call is never free
because it is small. What admins laid down for a model comes as a `Rule`; `quotas/rules.py` knows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shared_accounts.config import MICRO

STANDARD = (1000, 4000, 100)
"""What a prompt, a completion and a cached token weigh, in thousandths: 1, 4 and 0.1."""

_BYTES_PER_TOKEN = 3  # English runs at about 4, Chinese at about 3: the estimate leans to the safe side
_BESIDES = ("tools", "functions", "response_format")
_TOKENS_PER_MESSAGE = 4
_TOKENS_PER_IMAGE = 1000

_MOST_TOKENS = 100_000_000  # no exchange is larger; a figure above it is an upstream's slip


@dataclass(frozen=True, slots=True)
class Tokens:
    """What an exchange consumed; cached tokens are part of the prompt, as OpenAI counts them."""

    prompt: int
    completion: int
    cached: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """How calls for one model are served and paid."""

    model: str
    """What upstreams call it; what a client asked for may be an alias."""
    group: str
    """The quota pool that pays: by default every model is its own group."""
    reference: int
    """The group's reference allowance, in weighted tokens."""
    weights: tuple[int, int, int] = STANDARD


def cost(tokens: Tokens, rule: Rule) -> int:
    """Micro-units for these tokens under a model's rule."""
    cached = min(tokens.cached, tokens.prompt)
    prompt_weight, completion_weight, cached_weight = rule.weights
    weighted = (tokens.prompt - cached) * prompt_weight + cached * cached_weight + tokens.completion * completion_weight
    return -(-weighted * MICRO // (1000 * rule.reference))


def worth(allowance_tokens: int, *, reference: int, ceiling: int) -> int:
    """Return what sharing an account of this allowance counts for: 1,000,000 is one standard account."""
    return min(allowance_tokens * MICRO // reference, ceiling)


def estimate_prompt(body: dict[str, Any]) -> int:
    """Tokens a chat body will probably take; images count flat, however many bytes they are."""
    tokens = sum(map(_message, body["messages"]))
    return tokens + sum([_text(body[name]) for name in _BESIDES if name in body])


def plausible(tokens: Tokens) -> bool:
    """Tell whether an upstream's figures can be believed: not negative, not absurd."""
    counts = tokens.prompt, tokens.completion, tokens.cached
    return min(counts) >= 0 and max(counts) <= _MOST_TOKENS


def _message(message: object) -> int:
    if not isinstance(message, dict):
        return _TOKENS_PER_MESSAGE
    content = message.get("content")
    rest = _text(message["tool_calls"]) if "tool_calls" in message else 0
    said = sum(map(_part, content)) if isinstance(content, list) else _part(content)
    return _TOKENS_PER_MESSAGE + rest + said


def _part(part: object) -> int:
    if isinstance(part, dict) and "text" not in part:
        return _TOKENS_PER_IMAGE
    return _text(part["text"] if isinstance(part, dict) else part)


def _text(value: object) -> int:
    if value is None:
        return 0
    text = value if isinstance(value, str) else str(value)
    return len(text.encode("utf-8", "surrogatepass")) // _BYTES_PER_TOKEN + 1
