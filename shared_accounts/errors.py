"""Every way the service says no.

Raised where the fact is known, caught by nobody but the renderers in `refusals.py`. Messages are for the person
who reads them: they never carry an exception's text or a submitted value.
"""

from __future__ import annotations

from http import HTTPStatus


class ServiceError(Exception):
    """A refusal with a stable `code`, an HTTP status and a sentence for people."""

    status: HTTPStatus = HTTPStatus.BAD_REQUEST
    code: str = "BAD_REQUEST"
    message: str = "The request cannot be served."
    openai_type: str = "invalid_request_error"
    openai_code: str | None = None
    field: str | None = None
    retry_after: int | None = None

    def __init__(
        self, message: str = "", *, field: str | None = None, retry_after: int | None = None, **details: object
    ) -> None:
        self.message = message or self.message
        super().__init__(self.message)
        self.field = field or self.field
        self.retry_after = self.retry_after if retry_after is None else retry_after
        self.details = details


class InvalidRequest(ServiceError):
    """A field has a value that cannot be used; `field` names it."""

    code = "INVALID_REQUEST"


class Unprocessable(ServiceError):
    """Well-formed, but a rule forbids it; `field` names the culprit."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "VALIDATION_ERROR"
    message = "A field has a value that cannot be used."


class BodyTooLarge(ServiceError):
    """The body is over the limit."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    code = "BODY_TOO_LARGE"
    message = "The request body is too large."


class NotSignedIn(ServiceError):
    """No usable credential came with the request."""

    status = HTTPStatus.UNAUTHORIZED
    code = "AUTHENTICATION_FAILED"
    message = "Sign in, or send a valid token."
    openai_code = "invalid_api_key"


class InvalidApiKey(NotSignedIn):
    """The key is unknown, mistyped, revoked or expired; which one is not told."""

    code = "INVALID_API_KEY"
    message = "The API key is not valid."


class InvalidCredentials(NotSignedIn):
    """Wrong name or password; the two are indistinguishable."""

    code = "INVALID_CREDENTIALS"
    message = "The user name or the password is wrong."


class Forbidden(ServiceError):
    """The caller is known and may not do this."""

    status = HTTPStatus.FORBIDDEN
    code = "PERMISSION_DENIED"
    message = "You may not do this."
    openai_type = "permission_error"


class UserDisabled(Forbidden):
    """An admin has disabled this user."""

    code = "ACCOUNT_DISABLED"
    message = "This user has been disabled."


class UserSilenced(Forbidden):
    """Silenced users may sign in and read, no more (specification section 3.10)."""

    code = "ACCOUNT_SILENCED"
    message = "This user has been silenced and may only read."


class TrustTooLow(Forbidden):
    """The user's trust level does not allow it (specification section 3.11)."""

    code = "TRUST_LEVEL_TOO_LOW"
    message = "Your trust level does not allow this."


class NotFound(ServiceError):
    """No such thing, or not yours: the two look the same on purpose."""

    status = HTTPStatus.NOT_FOUND
    code = "NOT_FOUND"
    message = "There is no such resource."


class ModelNotFound(NotFound):
    """Nobody here serves this model to this caller."""

    code = "MODEL_NOT_FOUND"
    message = "No account here serves this model."
    openai_code = "model_not_found"
    field = "model"


class Conflict(ServiceError):
    """It exists already."""

    status = HTTPStatus.CONFLICT
    code = "ALREADY_EXISTS"


class QuotaExhausted(ServiceError):
    """The caller's quota does not hold the estimate; `details` says how much is missing."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "QUOTA_EXHAUSTED"
    message = "Your quota for this model does not hold this request."
    openai_type = "insufficient_quota"
    openai_code = "insufficient_quota"


class TooManyRequests(ServiceError):
    """A throttle of ours; try again after `retry_after` seconds."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "RATE_LIMITED"
    message = "Too many requests."
    openai_type = "rate_limit_error"
    openai_code = "rate_limit_exceeded"


class NoAccountAvailable(ServiceError):
    """Accounts serve this model, but none can be used at the moment."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "NO_ACCOUNT_AVAILABLE"
    message = "No account can serve this model right now."
    openai_type = "server_error"
    openai_code = "no_account_available"


class NotProvisioned(NoAccountAvailable):
    """The caller's user at the Plug-in API is still being made."""

    code = "PLUGIN_NOT_READY"
    message = "Your access is still being set up; try again in a moment."
    retry_after = 5


class Unavailable(ServiceError):
    """The service itself is short of something."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    openai_type = "server_error"


class CredentialUnreadable(Unavailable):
    """A sealed credential does not open with any configured key."""

    code = "CREDENTIAL_UNREADABLE"
    message = "A stored credential cannot be read; an operator has to look at the encryption keys."


class DatabaseUnavailable(Unavailable):
    """PostgreSQL is away or too busy; nothing was half-done."""

    code = "DATABASE_UNAVAILABLE"
    message = "The service is short of its database; try again in a moment."
    openai_code = "service_unavailable"
    retry_after = 2
