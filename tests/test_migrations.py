import itertools
import re
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import flask_migrate
import psycopg2
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from shared_accounts import create_app
from shared_accounts.config import load
from shared_accounts.extensions import db
from tests import factories

FOLDER = Path(__file__).parent.parent / "migrations"
WHOLE_TABLES = "select relname from pg_class where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace"
FILES = sorted((FOLDER / "versions").glob("*.py"))
NUMBERS = itertools.count(1)


@pytest.fixture
def own(environment, new_database):
    """An application on a database of its own, with its context."""
    app = create_app(load({**environment, "DATABASE_URL": new_database(f"migrations_{next(NUMBERS)}")}))
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


def tables():
    with db.engine.connect() as connection:
        found = connection.exec_driver_sql(f"{WHOLE_TABLES} and not relispartition")
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
    known = tables()
    whole = {"include_name": lambda name, kind, _: kind != "table" or name in known}
    with db.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts=whole), db.metadata) == []

    for number in reversed(range(len(FILES))):
        flask_migrate.downgrade(directory=str(FOLDER), revision=f"{number:04d}" if number else "base")
    assert tables() == {"alembic_version"}

    flask_migrate.upgrade(directory=str(FOLDER))
    assert tables() == {"alembic_version", *db.metadata.tables}


LINE = """
insert into usage_log (id, user_id, account_id, contributor_id, model, model_group, endpoint, stream, worker, estimate,
    client_app, lease_until)
values (%s, %s, 1, 1, 'm', 'm', '/', false, 'w', 1, 'cli', now())"""
FUNCTIONS = """
select array_agg(pg_get_functiondef(oid) order by proname) from pg_proc where proname in ('has_slot', 'key_budgets')"""


def test_the_usage_log_is_divided_and_made_whole_with_all_its_lines(own):
    def ask(query):
        with db.engine.connect() as connection:
            return connection.exec_driver_sql(query).all()

    flask_migrate.downgrade(directory=str(FOLDER), revision="0014")
    ids = [factories.exchange_id(), factories.exchange_id(datetime(2020, 2, 1, tzinfo=UTC)), UUID(int=2**128 - 1)]
    with db.engine.begin() as connection:
        for number, one in enumerate(ids):
            connection.exec_driver_sql(LINE, (str(one), number))
    before, functions = ask("select * from usage_log order by user_id"), ask(FUNCTIONS)

    flask_migrate.upgrade(directory=str(FOLDER), revision="0015")
    assert ask("select * from usage_log order by user_id") == before
    lie = dict(tuple(row) for row in ask("select tableoid::regclass::text, count(*) from usage_log group by 1"))
    assert lie == {f"usage_log_{datetime.now(UTC):%Y_%m}": 2, "usage_log_default": 1}

    flask_migrate.downgrade(directory=str(FOLDER), revision="0014")
    assert ask("select * from usage_log order by user_id") == before
    assert ask(FUNCTIONS) == functions


def test_rows_that_every_call_updates_leave_room_on_their_page(environment, settings):
    url = settings.database_url.replace("+psycopg2", "")
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("select relname, reloptions from pg_class where reloptions is not null and relkind = 'r'")
        found = dict(cursor.fetchall())
        cursor.execute("select relname from pg_class where relispartition and relkind = 'r'")
        parts = {row[0] for row in cursor.fetchall()}
        assert found == {
            "account_use": ["fillfactor=70"],
            "account_windows": ["fillfactor=70"],
            "quota_pools": ["fillfactor=50"],
            "reservations": ["fillfactor=80"],
            **{part: ["fillfactor=80"] for part in parts},
        }
        assert len(parts) == 4
    connection.close()
