from __future__ import annotations

import psycopg2
import pytest

from shared_accounts.statement_pool import Connection
from shared_accounts.statements import _PLANS


@pytest.fixture
def connection(settings):
    dsn = settings.database_url.replace("+psycopg2", "", 1)
    made = psycopg2.connect(dsn, connection_factory=Connection, options=_PLANS)
    made.autocommit = True
    yield made
    made.close()


def test_a_plan_made_while_a_table_was_empty_is_not_kept_when_it_has_grown(connection):
    with connection.cursor() as cursor:
        cursor.execute("create temp table lines (id int primary key, state text); analyze lines")
        cursor.execute(
            "prepare close (json) as with ended as materialized (select * from json_to_recordset($1) as given (id int))"
            " update lines set state = 'closed' from ended where lines.id = ended.id"
        )

    def plan():
        return "\n".join(line for (line,) in connection.run("explain execute close ('[]')", ()))

    assert "Index Cond: (id = ended.id)" not in plan()
    with connection.cursor() as cursor:
        cursor.execute("insert into lines select n, 'open' from generate_series(1, 5000) n")
    assert "Index Cond: (id = ended.id)" not in plan()

    connection.plans_last = 0.0

    assert "Index Cond: (id = ended.id)" in plan()


def test_plans_are_made_anew_seldom_when_a_connection_is_old(connection):
    asked = []
    for second in range(3600):
        before = connection.planned_at
        connection.planned_at = before and before - 1  # a second goes by
        connection.run("select", ())
        asked += [second] * (connection.planned_at >= before > 0)

    assert asked[:5] == [1, 3, 7, 15, 31]
    assert len(asked) < 20
