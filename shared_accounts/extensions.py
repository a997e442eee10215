"""The libraries the application leans on: made bare here, bound to one application in `app.py`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from celery import Celery
from flask import Flask
from flask_jwt_extended import JWTManager
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import BigInteger, DateTime, MetaData
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT
from sqlalchemy.orm import DeclarativeBase, registry

from shared_accounts.described import DescribedLate
from shared_accounts.statements import Statements

_NAMES = {
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "pk": "%(table_name)s_pkey",
}
_TYPES: dict[Any, Any] = {
    datetime: DateTime(timezone=True),
    int: BigInteger,
    str: TEXT,
    list[str]: ARRAY(TEXT),
    list[dict[str, Any]]: JSONB,
    dict[str, Any]: JSONB,
}


class Base(DeclarativeBase):
    """Times carry a zone, integers are wide, and constraint names are fixed so that a migration can drop them."""

    registry = registry(metadata=MetaData(naming_convention=_NAMES), type_annotation_map=_TYPES)


db = SQLAlchemy(model_class=Base, disable_autonaming=True)
jwt = JWTManager()
api = DescribedLate()
limiter = Limiter(key_func=get_remote_address)
celery = Celery("shared_accounts")
statements = Statements()


def bind_limiter(app: Flask) -> None:
    """Bind the limiter without its hooks, the first that are installed: a third of what all hooks took.

    Limits are asked for where they are meant (`auth/throttle.py`), headers are our own, and nothing is counted after an
    answer.
    """
    limiter.init_app(app)
    hooks: list[list[Any]] = [
        app.before_request_funcs[None],
        app.after_request_funcs[None],
        app.teardown_request_funcs[None],
    ]
    for installed in hooks:
        installed.clear()
