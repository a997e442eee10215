"""What `/api/admin/plugin` takes and gives."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, pre_load, validate

from shared_accounts.json_bodies import Text


class BindingFilters(Schema):
    """Whom to list; an empty filter is none."""

    search = Text(max=50, metadata={"description": "A part of the name, in any spelling of case"})
    state = fields.String(validate=validate.OneOf(["none", "pending", "ready"]))

    @pre_load
    def _drop_empty(self, data: Any, **_: Any) -> dict[str, Any]:
        return {name: data[name] for name in data if data[name]}


class BindingSchema(Schema):
    """How far somebody's user at the Plug-in API is; her key is nowhere shown."""

    user_id = fields.Integer()
    username = fields.String()
    state = fields.String(metadata={"description": "`none`: not begun, `pending` or `ready`"})
    problem = fields.String(allow_none=True, metadata={"description": "What went wrong last; null: nothing"})
    attempts = fields.Integer(metadata={"description": "Since it last went well"})
    next_attempt_at = fields.DateTime(allow_none=True, metadata={"description": "When she is looked after next"})
    account_id = fields.Integer(
        allow_none=True, metadata={"description": "Her account here; null: there is no model to ask for yet"}
    )
    updated_at = fields.DateTime(allow_none=True)


class Orphan(Schema):
    """A user at the Plug-in API that we made and lost the answer about."""

    plugin_user_id = fields.String()
    name = fields.String()
