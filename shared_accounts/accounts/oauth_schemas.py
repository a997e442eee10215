"""What goes through the door for accounts by consent, in and out."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from shared_accounts.json_bodies import Text


class OAuthWish(Schema):
    """What a contributor offers; or, with `account_id`, which of her accounts she consents to anew."""

    provider = fields.String(required=True, validate=validate.Length(min=1, max=32))
    account_id = fields.Integer(strict=True, validate=validate.Range(min=1))
    sharing = fields.String(validate=validate.OneOf(["dedicated", "shared"]))
    name = Text(max=100, min=1)
    allowance_tokens = fields.Integer(strict=True, validate=validate.Range(1, 1_000_000_000_000))
    window_hours = fields.Integer(strict=True, validate=validate.Range(1, 24 * 31))
    max_concurrency = fields.Integer(strict=True, allow_none=True, validate=validate.Range(1, 10_000))

    @validates_schema
    def _is_one_or_the_other(self, data: dict[str, Any], **_: Any) -> None:
        if "account_id" not in data:
            if "sharing" not in data:
                raise ValidationError({"sharing": ["Missing data for required field."]})
        elif more := data.keys() - {"provider", "account_id"}:
            raise ValidationError({name: ["An account keeps its terms when it is consented to anew."] for name in more})


class OAuthDeparture(Schema):
    """Where to send the browser, and how many seconds the consent may take."""

    authorization_url = fields.String()
    state = fields.String()
    expires_in = fields.Integer()


class OAuthReturn(Schema):
    """What the browser came back with: its whole address, or the two parts of it that matter."""

    callback_url = fields.String(validate=validate.Length(min=1, max=8192))
    code = fields.String(validate=validate.Length(min=1, max=4096))
    state = fields.String(validate=validate.Length(min=1, max=256))

    @validates_schema
    def _is_one_or_the_other(self, data: dict[str, Any], **_: Any) -> None:
        if ("callback_url" in data) == bool(data.keys() & {"code", "state"}):
            raise ValidationError({"callback_url": ["Send this, or else code and state."]})


class OAuthProviderSchema(Schema):
    """A provider whose accounts can be contributed here."""

    id = fields.String()
    name = fields.String()
    base_url = fields.String()
    models = fields.List(fields.String(), metadata={"description": "None means: what the upstream lists"})


class OAuthProviders(Schema):
    """The providers whose accounts can be contributed here."""

    providers = fields.List(fields.Nested(OAuthProviderSchema))
