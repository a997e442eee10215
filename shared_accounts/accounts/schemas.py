"""What goes through the accounts doors, in and out."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, pre_load, validate, validates_schema

from shared_accounts.accounts import presets
from shared_accounts.accounts.limits import OwnersLimits
from shared_accounts.json_bodies import Flag, Text

MOST_IMPORTED = 100

_MOST_TOKENS = 1_000_000_000_000
_MOST_HOURS = 24 * 31
_SHARING = validate.OneOf(["dedicated", "shared"])


class ModelNames(fields.List[str]):
    """A list of model names."""

    def __init__(self, *, least: int = 1, **options: Any) -> None:
        super().__init__(Text(max=200, min=1), validate=validate.Length(min=least, max=500), **options)


class Reach(Schema):
    """Where an upstream is and how it lets us in; a preset fills in what is left out."""

    preset = fields.String(validate=validate.OneOf(list(presets.BY_ID)))
    base_url = Text(max=500, min=1, metadata={"description": "May be left out with a preset that has one"})
    api_key = fields.String(
        load_only=True,
        validate=validate.Regexp(r"^[!-~]{1,4096}$(?!\n)"),
        metadata={"description": "May be left out with a preset that needs none"},
    )

    @pre_load
    def _fill_in(self, data: Any, **_: Any) -> Any:
        return _with_defaults(data)

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _is_complete(self, _: Any, original: Any, **__: Any) -> None:
        given = _with_defaults(original)
        missing = {"base_url", "api_key"} - set(given) if isinstance(given, dict) else set()
        if missing:
            raise ValidationError({name: ["Missing data for required field."] for name in missing})


class Attempt(Reach):
    """A credential to be tried; an upstream that keeps no list of models is asked for those named."""

    models = ModelNames()


class NewAccount(Reach):
    """What a contributor sends."""

    name = Text(max=100, min=1, required=True)
    sharing = fields.String(required=True, validate=_SHARING)
    models = ModelNames()
    allowance_tokens = fields.Integer(strict=True, validate=validate.Range(1, _MOST_TOKENS))
    window_hours = fields.Integer(strict=True, load_default=5, validate=validate.Range(1, _MOST_HOURS))
    max_concurrency = fields.Integer(
        strict=True, allow_none=True, load_default=None, validate=validate.Range(1, 10_000)
    )


class AccountChange(OwnersLimits):
    """What an owner may change later."""

    name = Text(max=100, min=1)
    sharing = fields.String(validate=_SHARING)
    models = ModelNames()
    models_off = ModelNames(
        least=0, metadata={"description": "Models that are switched off, kept so that they can be switched on again"}
    )
    allowance_tokens = fields.Integer(strict=True, validate=validate.Range(1, _MOST_TOKENS))
    window_hours = fields.Integer(strict=True, validate=validate.Range(1, _MOST_HOURS))
    max_concurrency = fields.Integer(strict=True, allow_none=True, validate=validate.Range(1, 10_000))
    paused = Flag()


class WindowSchema(Schema):
    """How much of an account's current window is used, 0 to 1, and when it resets."""

    model_group = fields.String()
    used = fields.Float()
    resets_at = fields.AwareDateTime()


class AccountSchema(OwnersLimits):
    """An account as its owner sees it; the credential is never shown."""

    id = fields.Integer()
    name = fields.String()
    preset = fields.String(allow_none=True)
    base_url = fields.String()
    sharing = fields.String()
    state = fields.String()
    state_reason = fields.String(allow_none=True)
    cooling_until = fields.AwareDateTime(allow_none=True)
    models = fields.List(fields.String())
    models_off = fields.List(fields.String(), metadata={"description": "Switched off by its owner"})
    allowance_tokens = fields.Integer()
    window_hours = fields.Integer()
    max_concurrency = fields.Integer(allow_none=True)
    windows = fields.List(fields.Nested(WindowSchema))
    owner = fields.String()
    created_at = fields.AwareDateTime()


class ContributedSchema(AccountSchema):
    """A new account, and what else its upstream lists."""

    discovered_models = fields.List(fields.String())


class PresetSchema(Schema):
    """An upstream that need not be described."""

    id = fields.String()
    name = fields.String()
    base_url = fields.String(allow_none=True)
    needs_key = fields.Boolean()
    key_hint = fields.String()
    key_page = fields.String(allow_none=True, metadata={"description": "Where one gets a key"})
    terms_page = fields.String(allow_none=True, metadata={"description": "Where it says what may be shared"})


class AcceptedSchema(Schema):
    """A credential that works, and for what."""

    ok = fields.Boolean()
    models = fields.List(fields.String())
    lists_models = fields.Boolean()


class TestedSchema(Schema):
    """How an account's credential fared just now."""

    ok = fields.Boolean()
    message = fields.String()
    models = fields.List(fields.String())
    state = fields.String()


class _Unread(fields.Nested):
    """Documented as what it should be, read later: a bad row must not stop the others."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        return value


class Import(Schema):
    """Accounts to contribute at once."""

    accounts = fields.List(_Unread(NewAccount), required=True, validate=validate.Length(1, MOST_IMPORTED))
    dry_run = Flag(load_default=False)


class ImportQuery(Schema):
    """How to take a file."""

    dry_run = fields.Boolean(load_default=False, metadata={"description": "Try everything, keep nothing"})


class ImportedRowSchema(Schema):
    """What became of one row."""

    row = fields.Integer(metadata={"description": "Counted from 1, a file's header apart"})
    status = fields.String(validate=validate.OneOf(["imported", "refused", "would_import"]))
    id = fields.Integer()
    name = fields.String(allow_none=True)
    errors = fields.Dict(fields.String(), fields.List(fields.String()))


class ImportedSchema(Schema):
    """What became of an import, row by row."""

    imported = fields.Integer()
    refused = fields.Integer()
    rows = fields.List(fields.Nested(ImportedRowSchema))


def _with_defaults(data: Any) -> Any:
    return {**presets.defaults(data.get("preset")), **data} if isinstance(data, dict) else data
