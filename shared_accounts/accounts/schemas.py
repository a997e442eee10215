"""What goes through the accounts door, in and out."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from shared_accounts.json_bodies import Text

_MOST_TOKENS = 1_000_000_000_000
_MOST_HOURS = 24 * 31
_SHARING = validate.OneOf(["dedicated", "shared"])


class ModelNames(fields.List[str]):
    """A list of model names."""

    def __init__(self, **options: Any) -> None:
        super().__init__(Text(max=200, min=1), validate=validate.Length(min=1, max=500), **options)


class NewAccount(Schema):
    """What a contributor sends."""

    name = Text(max=100, min=1, required=True)
    base_url = Text(max=500, min=1, required=True)
    api_key = fields.String(required=True, load_only=True, validate=validate.Regexp(r"^[!-~]{1,4096}\Z"))
    sharing = fields.String(required=True, validate=_SHARING)
    models = ModelNames()
    allowance_tokens = fields.Integer(strict=True, validate=validate.Range(1, _MOST_TOKENS))
    window_hours = fields.Integer(strict=True, load_default=5, validate=validate.Range(1, _MOST_HOURS))
    max_concurrency = fields.Integer(
        strict=True, allow_none=True, load_default=None, validate=validate.Range(1, 10_000)
    )


class AccountChange(Schema):
    """What an owner may change later."""

    name = Text(max=100, min=1)
    sharing = fields.String(validate=_SHARING)
    models = ModelNames()
    allowance_tokens = fields.Integer(strict=True, validate=validate.Range(1, _MOST_TOKENS))
    window_hours = fields.Integer(strict=True, validate=validate.Range(1, _MOST_HOURS))
    max_concurrency = fields.Integer(strict=True, allow_none=True, validate=validate.Range(1, 10_000))
    paused = fields.Boolean(truthy={True}, falsy={False})


class WindowSchema(Schema):
    """How much of an account's current window is used, 0 to 1, and when it resets."""

    model_group = fields.String()
    used = fields.Float()
    resets_at = fields.AwareDateTime()


class AccountSchema(Schema):
    """An account as its owner sees it; the credential is never shown."""

    id = fields.Integer()
    name = fields.String()
    base_url = fields.String()
    sharing = fields.String()
    state = fields.String()
    state_reason = fields.String(allow_none=True)
    cooling_until = fields.AwareDateTime(allow_none=True)
    models = fields.List(fields.String())
    allowance_tokens = fields.Integer()
    window_hours = fields.Integer()
    max_concurrency = fields.Integer(allow_none=True)
    windows = fields.List(fields.Nested(WindowSchema))
    owner = fields.String()
    created_at = fields.AwareDateTime()
