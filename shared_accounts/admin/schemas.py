"""What the doors of `/api/admin` take and give."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from marshmallow import Schema, ValidationError, fields, pre_load, validate

from shared_accounts.auth.schemas import UserSchema, new_password
from shared_accounts.json_bodies import Flag, Moment, Text

_STATES = validate.OneOf(["active", "silenced", "disabled"])
_ROLES = validate.OneOf(["user", "admin"])
_TRUST = validate.Range(0, 4)
_FALSE = validate.Equal(comparable=False)
_LONGEST_LIFE = timedelta(days=3650)


def _in_reach(moment: datetime) -> None:
    now = datetime.now(UTC)
    if not now < moment <= now + _LONGEST_LIFE:
        raise ValidationError("Must lie in the next ten years.")


class _Filters(Schema):
    """Filters of a list; an empty one is none."""

    @pre_load
    def _drop_empty(self, data: Any, **_: Any) -> dict[str, Any]:
        return {name: data[name] for name in data if data[name]}


class PeopleFilters(_Filters):
    """Which people to list."""

    search = Text(max=50, metadata={"description": "A part of the name, in any spelling of case"})
    state = fields.String(validate=_STATES)
    role = fields.String(validate=_ROLES)


class LinkedIdentity(Schema):
    """An account elsewhere that signs somebody in here."""

    provider = fields.String()
    name = fields.String(allow_none=True)


class PersonSchema(UserSchema):
    """A user as an admin sees her."""

    state = fields.String(metadata={"description": "`active`, `silenced` or `disabled`"})
    state_by_hand = fields.Boolean(metadata={"description": "An admin decided; no sign-in provider changes it"})
    trust_by_hand = fields.Boolean(metadata={"description": "Likewise for the trust level"})
    has_password = fields.Boolean()
    second_factor = fields.Boolean()
    identities = fields.List(fields.Nested(LinkedIdentity))
    sessions = fields.Integer(metadata={"description": "Where she is signed in"})
    api_keys = fields.Integer()
    accounts = fields.Integer(metadata={"description": "Contributed and not withdrawn"})
    invitation_id = fields.Integer(allow_none=True, metadata={"description": "Of the invitation she came by"})


class NewPerson(Schema):
    """Somebody an admin lets in."""

    username = Text(min=3, max=50, required=True)
    password = new_password(allow_none=True, load_default=None)
    role = fields.String(load_default="user", validate=_ROLES)
    trust_level = fields.Integer(strict=True, validate=_TRUST)


class MadeUpPassword(Schema):
    """A password we made up, if none was sent."""

    password = fields.String(metadata={"description": "Shown this once, and only if none was sent"})


class RegisteredPerson(MadeUpPassword):
    """Somebody new."""

    user = fields.Nested(PersonSchema)


class PersonChange(Schema):
    """What an admin decides about somebody; false lets the sign-in provider decide again."""

    state = fields.String(validate=_STATES)
    role = fields.String(validate=_ROLES)
    trust_level = fields.Integer(strict=True, validate=_TRUST)
    state_by_hand = Flag(validate=_FALSE)
    trust_by_hand = Flag(validate=_FALSE)


class NewPassword(Schema):
    """A password for somebody else; without one, we make one up."""

    password = new_password(allow_none=True, load_default=None)


class NewInvitation(Schema):
    """How many people a code lets in, and until when."""

    max_uses = fields.Integer(strict=True, load_default=1, validate=validate.Range(1, 10_000))
    expires_at = Moment(allow_none=True, load_default=None, validate=_in_reach)
    note = Text(max=200, allow_none=True, load_default=None)


class InvitationSchema(Schema):
    """An invitation; its code is not kept, so it is not here."""

    id = fields.Integer()
    preview = fields.String()
    state = fields.String(metadata={"description": "`open`, `used up`, `expired` or `revoked`"})
    uses = fields.Integer()
    max_uses = fields.Integer()
    note = fields.String(allow_none=True)
    created_by = fields.Integer(allow_none=True, metadata={"description": "Null: an operator, on the command line"})
    created_at = fields.DateTime()
    expires_at = fields.DateTime(allow_none=True)
    revoked_at = fields.DateTime(allow_none=True)


class IssuedInvitation(InvitationSchema):
    """A new invitation, with its code."""

    code = fields.String(metadata={"description": "Shown this once"})


class TrustLevelSchema(Schema):
    """What people of one trust level may do; null is without limit."""

    level = fields.Integer()
    may_share = fields.Boolean()
    max_keys = fields.Integer()
    requests_per_minute = fields.Integer(allow_none=True)
    max_concurrent = fields.Integer(allow_none=True, metadata={"description": "Chats at the same time"})


class TrustLevelChange(Schema):
    """What to change about a trust level."""

    may_share = Flag()
    max_keys = fields.Integer(strict=True, validate=validate.Range(0, 1000))
    requests_per_minute = fields.Integer(strict=True, allow_none=True, validate=validate.Range(1, 1_000_000))
    max_concurrent = fields.Integer(strict=True, allow_none=True, validate=validate.Range(1, 1_000_000))


class AuditFilters(_Filters):
    """Which entries to list."""

    act = Text(max=100, metadata={"description": "`user.disabled`, or a whole family: `user`"})
    actor_id = fields.Integer(metadata={"description": "Who did it"})
    user_id = fields.Integer(metadata={"description": "On whom"})


class AuditEntrySchema(Schema):
    """One sensitive act."""

    id = fields.Integer(attribute="AuditEntry.id")
    at = fields.DateTime(attribute="AuditEntry.at")
    act = fields.String(attribute="AuditEntry.act")
    actor_id = fields.Integer(attribute="AuditEntry.actor_id", allow_none=True)
    actor = fields.String(
        allow_none=True, metadata={"description": "Her name; null: an operator, a provider or somebody unknown"}
    )
    user_id = fields.Integer(attribute="AuditEntry.user_id", allow_none=True)
    user = fields.String(allow_none=True, metadata={"description": "Her name"})
    target = fields.String(attribute="AuditEntry.target", allow_none=True)
    address = fields.String(attribute="AuditEntry.address", allow_none=True)
    request_id = fields.String(attribute="AuditEntry.request_id", allow_none=True)
    details = fields.Dict(attribute="AuditEntry.details")
