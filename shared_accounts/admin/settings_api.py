"""/api/admin/settings: what may be changed while the service runs."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from marshmallow import Schema, fields
from sqlalchemy import select

from shared_accounts import live_settings
from shared_accounts.admin.gate import admin_acts
from shared_accounts.audit import trail
from shared_accounts.auth.guards import admin_only
from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Door
from shared_accounts.live_settings import CHANGEABLE, RuntimeSetting
from shared_accounts.requests_in import settings

blp = Door("admin-settings", __name__, url_prefix="/api/admin/settings", description="For admins: settings")

_LONGEST = 100
_A_TEXT = {"type": "string", "minLength": 1, "maxLength": _LONGEST, "nullable": True}
_KINDS = [_A_TEXT, {"type": "number"}, {"type": "boolean"}]


class SettingValue(fields.Field[str]):
    """A text, a number or a switch, read as the environment's spelling of it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(metadata={"anyOf": _KINDS}, **options)

    default_error_messages = {"invalid": "Not a text, a number or a switch."}  # noqa: RUF012 - marshmallow's way

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if isinstance(value, bool):
            return "true" if value else "false"
        if not isinstance(value, str | int | float) or not 0 < len(str(value)) <= _LONGEST:
            raise self.make_error("invalid")
        return str(value)


class SettingSchema(Schema):
    """A setting, spelt as in the environment."""

    value = fields.String(metadata={"description": "In force now"})
    started_with = fields.String(metadata={"description": "What the environment says"})
    changed_at = fields.DateTime(allow_none=True, metadata={"description": "Null: the environment's value is in force"})


_all: dict[str, Any] = {name: fields.Nested(SettingSchema) for name in CHANGEABLE}
_changed: dict[str, Any] = {name: SettingValue(allow_none=True) for name in CHANGEABLE}
LiveSettings = Schema.from_dict(_all, name="LiveSettings")
LiveSettingsChange = Schema.from_dict(_changed, name="LiveSettingsChange")


@blp.get("")
@admin_only
@blp.response(200, LiveSettings)
def show_settings() -> dict[str, dict[str, Any]]:
    """Show the settings an admin can change: what is in force, and what the environment says."""
    return shown()


@blp.patch("")
@admin_acts
@blp.arguments(LiveSettingsChange)
@blp.response(200, LiveSettings)
@blp.refuses(422)
def change_settings(body: dict[str, str | None]) -> dict[str, dict[str, Any]]:
    """Change settings, at once and for every process; null gives one back to the environment.

    One bad value, and none is changed.
    """
    now = put(body)
    db.session.commit()
    return now


def put(body: dict[str, str | None]) -> dict[str, dict[str, Any]]:
    """Store settings and leave word of it; returns what is in force then. The caller commits."""
    # In one order, or two changes at once could wait for each other.
    changes = {name: body[name] for name in sorted(body)}
    live_settings.change(changes)
    now = shown()
    if changes:
        new = {name: now[name]["value"] if text is not None else None for name, text in changes.items()}
        trail.record("settings.changed", **new)
    return now


def shown() -> dict[str, dict[str, Any]]:
    """Return the settings that can be changed: what is in force, what the environment says, and since when."""
    started_with = settings()
    in_force = live_settings.current(started_with)
    changed: dict[str, datetime] = dict(
        db.session.execute(select(RuntimeSetting.name, RuntimeSetting.changed_at)).tuples().all()
    )
    return {
        name: {
            "value": _spelt(getattr(in_force, name)),
            "started_with": _spelt(getattr(started_with, name)),
            "changed_at": changed.get(name),
        }
        for name in CHANGEABLE
    }


def _spelt(value: str | bool | int) -> str:  # noqa: FBT001 - a switch's value
    if isinstance(value, bool):
        return "true" if value else "false"
    return format(Decimal(value) / MICRO, "f") if isinstance(value, int) else value
