"""What a failure of the Plug-in API means to the person who asked: one of our own refusals.

Invariant: its 401 is about a credential of ours and is never passed on, or the person would be signed out. Its words
are passed on only with a refusal of the request itself; what it says about a fault of its own may quote anything.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from shared_accounts.errors import (
    BodyTooLarge,
    Conflict,
    Forbidden,
    InvalidRequest,
    NoAccountAvailable,
    NotFound,
    ServiceError,
    TooManyRequests,
    Unprocessable,
)
from shared_accounts.plugin.failures import Kind, PluginRefused, PluginUnreachable

_REASON = re.compile(r": ([A-Z][A-Z0-9_]{2,63})\b")


class PluginFailed(ServiceError):
    """The Plug-in API failed for reasons that are not the caller's."""

    status = HTTPStatus.BAD_GATEWAY
    code = "PLUGIN_FAILED"
    message = "The Plug-in API failed to answer this request."
    openai_type = "server_error"
    openai_code = "upstream_error"


class PluginAuthFailed(PluginFailed):
    """The Plug-in API does not know the credential we hold."""

    code = "PLUGIN_AUTH_FAILED"
    message = "The Plug-in API does not accept the credential kept here for you; an admin has to look at it."


class PluginAway(PluginFailed):
    """Nothing that can be believed came from the Plug-in API's address."""

    code = "PLUGIN_UNREACHABLE"
    message = "The Plug-in API cannot be reached; try again later."


class PluginTimeout(PluginFailed):
    """The Plug-in API took too long."""

    status = HTTPStatus.GATEWAY_TIMEOUT
    code = "PLUGIN_TIMEOUT"
    message = "The Plug-in API did not answer in time; try again later."


class PluginLimited(TooManyRequests):
    """A limit at the Plug-in API, not one of ours."""

    code = "PLUGIN_LIMITED"
    message = "Every account at the Plug-in API has used up its quota, or your quota there does not hold this request."


class SignInOver(InvalidRequest):
    """The OAuth state is unknown there, spent or older than five minutes."""

    code = "INVALID_OAUTH_STATE"
    message = "This sign-in is over or was never begun; begin again."
    field = "callback_url"


class SignInRefused(Unprocessable):
    """The provider no longer accepts what it once gave for this account: a code, or a refresh token."""

    code = "ACCOUNT_NEEDS_SIGN_IN"
    message = "The account's provider does not accept its sign-in any more; sign it in again."


class AccountIneligible(Unprocessable):
    """The provider does not let this account be used so."""

    code = "ACCOUNT_INELIGIBLE"
    message = "The provider does not allow this account to be used here."
    field = "callback_url"


class AlreadyAdded(Conflict):
    """The account exists there already, this user's or another's; whose is not told."""

    message = "This account has been contributed already."


_PASSED_ON: dict[int, type[ServiceError]] = {
    400: InvalidRequest,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: BodyTooLarge,
    422: Unprocessable,
    429: PluginLimited,
}
_KNOWN: dict[Kind, type[ServiceError]] = {
    Kind.NO_ACCOUNT: NoAccountAvailable,
    Kind.NO_QUOTA: PluginLimited,
    Kind.STATE: SignInOver,
    Kind.GRANT: SignInRefused,
    Kind.DUPLICATE: AlreadyAdded,
    Kind.NO_ROW: NotFound,
}


def explain(failure: PluginRefused | PluginUnreachable) -> ServiceError:
    """Return the refusal of ours to raise instead."""
    if isinstance(failure, PluginUnreachable):
        return PluginTimeout() if failure.timed_out else PluginAway()
    if failure.status == HTTPStatus.UNAUTHORIZED:
        return PluginAuthFailed()
    if failure.status == HTTPStatus.NOT_FOUND and not failure.message:
        return PluginFailed()  # a page: not a thing is missing there but the route, so the address is wrong
    if failure.status in _PASSED_ON:
        return _PASSED_ON[failure.status](failure.message, retry_after=failure.retry_after)
    return _of_its_kind(failure)


def _of_its_kind(failure: PluginRefused) -> ServiceError:
    """Tell apart what the Plug-in lumps together as 500."""
    if failure.kind is Kind.INELIGIBLE:
        reason = _REASON.search(failure.message)
        return AccountIneligible(f"{AccountIneligible.message} ({reason[1]})" if reason else "")
    return _KNOWN.get(failure.kind, PluginFailed)(retry_after=failure.retry_after)
