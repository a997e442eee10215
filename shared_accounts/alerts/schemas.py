"""What the doors of alerts take and give."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from shared_accounts.alerts.models import FOR_ADMINS, FOR_USERS
from shared_accounts.alerts.preferences import KINDS
from shared_accounts.json_bodies import Text
from shared_accounts.keys.schemas import Distinct
from shared_accounts.setting_letters import is_email

LONGEST_URL = 500


def _mailbox(text: str) -> None:
    if not is_email(text):
        raise ValidationError("Not an e-mail address.")


def _kinds(**options: Any) -> Distinct:
    return Distinct(fields.String(validate=validate.OneOf(KINDS)), most=len(KINDS), **options)


class AlertFilters(Schema):
    """Which alerts to list."""

    unread = fields.Boolean(load_default=False, metadata={"description": "Those alone that nobody has marked as read"})


class AlertSchema(Schema):
    """Something one should know."""

    id = fields.Integer()
    kind = fields.String(validate=validate.OneOf(FOR_USERS + FOR_ADMINS))
    title = fields.String()
    text = fields.String()
    details = fields.Dict(metadata={"description": "The facts in it, for words of your own"})
    raised_at = fields.AwareDateTime()
    over_at = fields.AwareDateTime(allow_none=True, metadata={"description": "Null: it is still so"})
    read_at = fields.AwareDateTime(allow_none=True)


class AlertCount(Schema):
    """How many."""

    count = fields.Integer()


class AlertPreferences(Schema):
    """Where alerts are sent, and which kinds; what is left out stays as it is."""

    email = Text(max=254, allow_none=True, metadata={"description": "Null: no mails"})
    webhook_url = Text(max=LONGEST_URL, allow_none=True, metadata={"description": "https; null: no webhooks"})
    by_email = _kinds()
    by_webhook = _kinds()

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.fields["email"].validators.append(_mailbox)


class AlertPreferencesChange(AlertPreferences):
    """What to change of it."""

    new_webhook_secret = fields.Boolean(
        metadata={"description": "Have webhooks signed with a new secret from now on; the old one is forgotten"}
    )


class AlertPreferencesAnswer(AlertPreferences):
    """Where alerts are sent."""

    mails_are_sent = fields.Boolean(metadata={"description": "Whether the operator has set up a mail server"})
    webhook_secret = fields.String(
        allow_none=True, metadata={"description": "Shown this once: what verifies the signatures (Standard Webhooks)"}
    )
