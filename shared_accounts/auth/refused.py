"""How signing in is refused, beyond the refusals everybody needs (`errors.py`)."""

from __future__ import annotations

from http import HTTPStatus

from shared_accounts.errors import Forbidden, InvalidCredentials, NotSignedIn, ServiceError


class SessionOver(NotSignedIn):
    """The refresh token is spent, revoked, expired or was never ours; which one is not told."""

    code = "INVALID_TOKEN"
    message = "The session is over; sign in again."


class ReusedToken(SessionOver):
    """A refresh token came a second time. The session has been ended, which the door has to commit."""


class StaleSignIn(NotSignedIn):
    """The sign-in is good but not recent enough for this (OWASP ASVS 7.5.1)."""

    code = "FRESH_SIGN_IN_REQUIRED"
    message = "Sign in again to do this; your sign-in is too long ago."


class SecondFactorRequired(NotSignedIn):
    """The first factor was right; `challenge` is what the second one has to be sent with."""

    code = "SECOND_FACTOR_REQUIRED"
    message = "Send the code of your second factor."


class WrongCode(InvalidCredentials):
    """The code is wrong, spent or too old."""

    code = "INVALID_SECOND_FACTOR"
    message = "This code is wrong or was used already."


class SecondFactorMissing(Forbidden):
    """Admins need a second factor here (REQUIRE_ADMIN_2FA) and this session was opened without one."""

    code = "SECOND_FACTOR_MISSING"
    message = "Admins need a second factor here: set one up, or sign in with it."


class RegistrationClosed(Forbidden):
    """Nobody can sign up, or only with an invitation."""

    code = "REGISTRATION_CLOSED"
    message = "Signing up is closed; ask an admin."


class AccountCreationDisabled(Forbidden):
    """An unknown person came by single sign-on, where only known ones may (SSO_REGISTRATION)."""

    code = "ACCOUNT_CREATION_DISABLED"
    message = "Nobody can sign up by single sign-on; ask an admin."


class InactiveAtProvider(Forbidden):
    """The provider says that this account of its own is not active."""

    code = "ACCOUNT_DISABLED"
    message = "Your account at the sign-in provider is not active."


class SingleSignOnFailed(ServiceError):
    """Something between the provider and us went wrong; subclasses say what."""

    code = "OAUTH_ERROR"
    message = "The sign-in provider refused."


class InvalidOAuthState(SingleSignOnFailed):
    """The state is unknown, spent, expired, another provider's or another browser's."""

    code = "INVALID_OAUTH_STATE"
    message = "This sign-in was not begun in this browser, or too long ago; begin again."


class OAuthTokenExchangeFailed(SingleSignOnFailed):
    """The provider gave no token, or none that can be believed."""

    code = "OAUTH_TOKEN_EXCHANGE_FAILED"
    message = "The sign-in provider's answer cannot be believed; begin again."


class OAuthUserInfoFailed(SingleSignOnFailed):
    """The provider did not say who this is."""

    code = "OAUTH_USER_INFO_FAILED"
    message = "The sign-in provider did not say who you are."


class ProviderNotConfigured(SingleSignOnFailed):
    """There is no such provider here."""

    code = "PROVIDER_NOT_CONFIGURED"
    message = "This sign-in provider is not set up here."


class ProviderUnreachable(SingleSignOnFailed):
    """The provider is away, slow or talks nonsense."""

    status = HTTPStatus.BAD_GATEWAY
    code = "OAUTH_PROVIDER_UNREACHABLE"
    message = "The sign-in provider does not answer; try again later."
