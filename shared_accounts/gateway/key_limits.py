"""What an API key may do, asked at the gateway: before an exchange is opened, when it was refused, and at its end.

Models, addresses and pace are judged here, from what is remembered of the key; slots and budgets by the statement
that opens the exchange. That statement answers `changed` when the memory is older than the key's last change, so that
the door can ask again with a fresh one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from shared_accounts.accounts import catalogue
from shared_accounts.accounts.catalogue import Model
from shared_accounts.errors import Forbidden, QuotaExhausted, ServiceError, TooManyRequests
from shared_accounts.gateway.books import Closing, Opening
from shared_accounts.gateway.calls import Call
from shared_accounts.keys import budgets, pace
from shared_accounts.keys.budgets import Shortage
from shared_accounts.keys.limits import KeyHolder
from shared_accounts.quotas import forecast
from shared_accounts.users.roster import Caller

if TYPE_CHECKING:
    from shared_accounts.gateway.gateway import Gateway

_OVER = {
    "total": "in all",
    "five_hours": "in five hours",
    "day": "in 24 hours",
    "week": "in 7 days",
    "month": "in 30 days",
}


class ModelNotAllowed(Forbidden):
    """The key's owner has not listed this model."""

    code = "MODEL_NOT_ALLOWED"
    field = "model"


class AddressNotAllowed(Forbidden):
    """The key's owner has not listed the address it comes from."""

    code = "ADDRESS_NOT_ALLOWED"
    message = "This API key may not be used from your address."


class BudgetExhausted(QuotaExhausted):
    """A budget of the key does not hold the estimate; `details` says which, and when it will."""

    code = "KEY_BUDGET_EXHAUSTED"
    message = "A budget of this API key does not hold this request."


class KeyBusy(TooManyRequests):
    """The key has as many exchanges open as it may."""

    message = "This API key has as many requests under way as it may."
    retry_after = 1


class KeyChanged(TooManyRequests):
    """The key was changed after its holder was recognised; recognised anew, she may be served."""

    message = "The limits of this API key have just changed; send the request again."
    retry_after = 1


def refuse(caller: Caller, address: str | None, model: str | None = None) -> None:
    """Stop a key from being used from where it may not, or for a model that it may not, by the name asked for.

    Raises `AddressNotAllowed` or `ModelNotAllowed`. What is remembered of a key may let in; before it refuses, the key
    has to be read anew.
    """
    if not isinstance(caller, KeyHolder):
        return
    if not caller.limits.allow_address(address):
        raise AddressNotAllowed
    if model is not None and not caller.limits.allow_model(model):
        allowed = sorted(caller.limits.models)
        raise ModelNotAllowed(f"This API key may not use the model {model}.", allowed_models=allowed)


def count(caller: Caller, call: Call) -> Caller:
    """Count a request and its tokens against the pace of the caller's key; raises `TooManyRequests`.

    Returns her with what was counted, for the exchange, whose end settles it.
    """
    if not isinstance(caller, KeyHolder):
        return caller
    limits, key_id = caller.limits, caller.api_key_id or 0
    if limits.requests_per_minute:
        pace.count_request(key_id, limits.requests_per_minute)
    if not limits.tokens_per_minute:
        return caller
    tokens = max(1, call.prompt_tokens + call.most_completion_tokens)
    return replace(caller, settle_tokens=pace.count_tokens(key_id, limits.tokens_per_minute, tokens).settle)


def models_for(caller: Caller, address: str | None) -> list[Model]:
    """Return the models that a caller can use and her key may ask for; raises `AddressNotAllowed`."""
    refuse(caller, address)
    found = catalogue.models_for(caller)
    return [one for one in found if not isinstance(caller, KeyHolder) or caller.limits.allow_model(one.name)]


def refused(gateway: Gateway, opening: Opening, verdict: str) -> ServiceError | None:
    """Return why the books did not open an exchange, if that was for its key."""
    if verdict == "changed":
        gateway.callers.forget(opening.caller.fingerprint)
        return KeyChanged()
    if verdict == "key busy":
        return KeyBusy()
    if verdict == "over budget":
        return _exhausted(budgets.shortage(opening.caller.api_key_id or 0, opening.estimate), opening.estimate)
    return None


def settle(caller: Caller, closing: Closing) -> None:
    """Count the tokens an exchange took instead of those it was expected to; Redis may be away."""
    if isinstance(caller, KeyHolder) and caller.settle_tokens:
        caller.settle_tokens(closing.tokens.prompt + closing.tokens.completion if closing.tokens else 0)


def _exhausted(shortage: Shortage | None, needed: int) -> BudgetExhausted:
    if shortage is None:  # there is room again by now
        return BudgetExhausted(retry_after=1)
    tight, fits_at = shortage.standing, shortage.fits_at
    when = f"it would fit at {fits_at.isoformat()}" if fits_at else "it will not fit unless the budget is raised"
    message = (
        f"This API key may spend {forecast.units(tight.limit)} units {_OVER[tight.budget]}; "
        f"{forecast.units(tight.spent)} are spent, {forecast.units(tight.held)} are held by requests under way and "
        f"this one may cost {forecast.units(needed)}: {when}."
    )
    details = {
        "name": tight.budget,
        "limit": forecast.units(tight.limit),
        "used": forecast.units(tight.spent),
        "held": forecast.units(tight.held),
        "needed": forecast.units(needed),
        "fits_at": fits_at.isoformat() if fits_at else None,
    }
    return BudgetExhausted(message, retry_after=shortage.seconds, budget=details)
