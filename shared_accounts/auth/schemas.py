"""What the doors of `/api/auth` take and give."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from shared_accounts.auth import sessions
from shared_accounts.auth.passwords import FEWEST_CHARACTERS
from shared_accounts.json_bodies import Text

MOST_PASSWORD = 1024


def password(**options: Any) -> fields.String:
    """Make a field for a password: any characters, taken exactly as sent."""
    length = validate.Length(min=1, max=MOST_PASSWORD)
    return fields.String(validate=length, metadata={"format": "password"}, **options)


def new_password(**options: Any) -> fields.String:
    """Make a field for a password to be; `auth/passwords.py` has the rules, in better words than a length's."""
    length = validate.Length(min=1, max=MOST_PASSWORD)
    return fields.String(validate=length, metadata={"format": "password", "minLength": FEWEST_CHARACTERS}, **options)


class Credentials(Schema):
    """What somebody signs in with."""

    username = Text(min=1, max=50, required=True)
    password = password(required=True)
    code = Text(min=6, max=20, metadata={"description": "Of the second factor, if there is one"})


class Answer(Schema):
    """The second factor, after `SECOND_FACTOR_REQUIRED`."""

    challenge = Text(min=1, max=100, required=True)
    code = Text(min=6, max=20, required=True, metadata={"description": "Of the authenticator, or a recovery code"})


class Code(Schema):
    """A code of the second factor."""

    code = Text(min=6, max=20, required=True)


class Refresh(Schema):
    """A refresh token."""

    refresh_token = fields.String(required=True, validate=validate.Length(min=1, max=4096))


class SignOut(Schema):
    """The original front end sends its refresh token along; the session goes with or without it."""

    refresh_token = fields.String(allow_none=True, validate=validate.Length(max=4096))


class SignUp(Schema):
    """What somebody registers with."""

    username = Text(min=3, max=50, required=True)
    password = new_password(required=True)
    invitation_code = Text(max=100, allow_none=True, load_default=None)


class Name(Schema):
    """A name to be looked up."""

    username = Text(min=1, max=50, required=True)


class NameTaken(Schema):
    """Whether a name is taken."""

    exists = fields.Boolean()
    message = fields.String()
    username = fields.String()


class PasswordChange(Schema):
    """A new password; who has one proves the current one."""

    current_password = password(allow_none=True, load_default=None)
    new_password = new_password(required=True)


class Proof(Schema):
    """What a sign-in is renewed with: the password, and the code of the second factor if there is one."""

    password = password(load_default=None)
    code = Text(min=6, max=20, load_default=None)


class UserSchema(Schema):
    """A user as she sees herself."""

    id = fields.Integer()
    username = fields.String()
    avatar_url = fields.String(allow_none=True)
    trust_level = fields.Integer()
    role = fields.String()
    is_active = fields.Function(lambda user: user.state != "disabled", metadata={"type": "boolean"})
    is_silenced = fields.Function(lambda user: user.state == "silenced", metadata={"type": "boolean"})
    beta = fields.Constant(0, metadata={"type": "integer", "description": "The original front end asks for it"})
    created_at = fields.DateTime()
    last_login_at = fields.DateTime(allow_none=True)
    use_only_dedicated = fields.Boolean()
    prefer_shared = fields.Boolean()


class TokenPair(Schema):
    """Tokens of one session."""

    access_token = fields.String()
    refresh_token = fields.String(metadata={"description": "Good once; the next pair comes with a new one"})
    token_type = fields.Constant("bearer", metadata={"type": "string"})
    expires_in = fields.Integer(metadata={"description": "Seconds that the access token lasts"})


class SignedIn(TokenPair):
    """A fresh sign-in."""

    user = fields.Nested(UserSchema)


class SessionSchema(Schema):
    """One sign-in on one device."""

    id = fields.UUID()
    device = fields.Function(lambda row: sessions.device(row.user_agent), metadata={"type": "string"})
    user_agent = fields.String(allow_none=True)
    address = fields.String(allow_none=True)
    method = fields.String(metadata={"description": "`password` or the sign-in provider"})
    second_factor = fields.Boolean()
    created_at = fields.DateTime()
    last_seen_at = fields.DateTime(metadata={"description": "To the minute"})
    expires_at = fields.DateTime(metadata={"description": "Moves on with each refresh"})
    is_current = fields.Boolean(metadata={"description": "The session that asks"})
