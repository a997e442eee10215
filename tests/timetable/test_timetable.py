"""Every clock of the timetable strikes late, beside itself and twice: the result is the same as once and on time.

The scenes are in `conftest.py`, named like their tasks; a task without a scene is an error here.
"""

from __future__ import annotations

import pytest

from shared_accounts import tasks
from shared_accounts.extensions import celery
from shared_accounts.plugin import parts
from shared_accounts.quotas import proof
from tests import factories
from tests.conftest import rows
from tests.plugin_api import plugin_process, plugin_server
from tests.together import at_once, everything, from_one_gate

__all__ = ["plugin_process", "plugin_server"]

CLOCKS = [entry["task"].removeprefix("shared_accounts.") for entry in tasks.TIMETABLE.values()]


def alone(app, task, *_):
    task()


@pytest.mark.parametrize("strike", [alone, at_once, from_one_gate])
@pytest.mark.parametrize("clock", CLOCKS)
def test_late_beside_itself_and_twice_is_as_once_and_on_time(app, request, clock, strike):
    stands_as_it_must = request.getfixturevalue(clock)
    task = celery.tasks[f"shared_accounts.{clock}"]

    strike(app, *[task] * 4)

    stands_as_it_must()
    assert proof.verify() == []
    once = everything()
    task()
    assert everything() == once


@pytest.fixture
def sweep_plugin_users(app, committed, plugin_server, with_settings, monkeypatch):
    """Users who were let in while nobody looked after them; the tasks this one sends run at once."""
    names = [factories.user().username for _ in range(3)]
    factories.user(state="disabled")

    def check():
        bindings = rows("plugin_users")
        assert [binding["state"] for binding in bindings] == ["ready"] * 3
        assert [plugin_server.users_named(binding["name"]) for binding in bindings] == [1] * len(names)

    with with_settings(plugin_api_base_url=plugin_server.url, plugin_api_admin_key=plugin_server.admin_key):
        made = parts.configured(app.extensions["settings"], app.extensions["vault"], app.extensions["guard"])
        monkeypatch.setitem(app.extensions, "plugin", made)
        celery.conf.task_always_eager = True
        yield check
        celery.conf.task_always_eager = False
        made.connection.close()
        made.hurried.close()
