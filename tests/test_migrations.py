import re
from pathlib import Path

import flask_migrate
import psycopg2
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from shared_accounts import create_app
from shared_accounts.config import load
from shared_accounts.extensions import db

FOLDER = Path(__file__).parent.parent / "migrations"
FILES = sorted((FOLDER / "versions").glob("*.py"))


@pytest.fixture
def own(environment, new_database):
    """An application on a database of its own, with its context."""
    app = create_app(load({**environment, "DATABASE_URL": new_database("migrations")}))
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


def tables():
    with db.engine.connect() as connection:
        found = connection.exec_driver_sql("select tablename from pg_tables where schemaname = 'public'")
        return {row[0] for row in found}


def test_migrations_are_numbered_without_gaps_and_named_by_number():
    for number, file in enumerate(FILES, 1):
        text = file.read_text()
        assert file.name.startswith(f"{number:04d}_")
        assert re.search(rf'^revision = "{number:04d}"$', text, re.MULTILINE)
        assert f"down_revision = {f'{number - 1:04d}' if number > 1 else None!r}".replace("'", '"') in text


def test_migrations_know_nothing_of_the_application():
    for file in FILES:
        assert "shared_accounts" not in file.read_text()


def test_the_head_is_what_the_models_say_and_every_step_goes_down_and_up_again(own):
    with db.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), db.metadata) == []

    for number in reversed(range(len(FILES))):
        flask_migrate.downgrade(directory=str(FOLDER), revision=f"{number:04d}" if number else "base")
    assert tables() == {"alembic_version"}

    flask_migrate.upgrade(directory=str(FOLDER))
    assert tables() == {"alembic_version", *db.metadata.tables}


def test_rows_that_every_call_updates_leave_room_on_their_page(environment, settings):
    url = settings.database_url.replace("+psycopg2", "")
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("select relname, reloptions from pg_class where reloptions is not null and relkind = 'r'")
        assert dict(cursor.fetchall()) == {
            "account_use": ["fillfactor=70"],
            "account_windows": ["fillfactor=70"],
            "quota_pools": ["fillfactor=50"],
            "reservations": ["fillfactor=80"],
            "usage_log": ["fillfactor=80"],
        }
    connection.close()
