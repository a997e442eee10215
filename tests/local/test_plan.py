from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from shared_accounts.config import Settings
from shared_accounts.local import home, plan
from shared_accounts.local.home import LocalError, kept
from shared_accounts.local.servers import free_port
from shared_accounts.local.service import LocalService
from shared_accounts.local.supervisor import Signals
from tests.local.conftest import WITHOUT_APPLICATION

PORTS = ("PORT", "DEMO_PORT", "POSTGRES_PORT", "REDIS_PORT")
MINE = (*PORTS, "SECRET_KEY", "ADMIN_PASSWORD", "DATABASE_URL", "HOST", "PUBLIC_URL")


@pytest.fixture
def draw_up(monkeypatch, tmp_path):
    """Draw up a plan from an environment and a `.env` of the test's own."""
    repository, folder = tmp_path / "repository", tmp_path / "home"
    repository.mkdir()
    monkeypatch.setattr(plan, "REPOSITORY", repository)
    monkeypatch.setattr(home, "lock", lambda _: None)

    def draw(dotenv="", **environment):
        (repository / ".env").write_text(dotenv)
        for name in MINE:
            monkeypatch.delenv(name, raising=False)
        for name, value in {"SHARED_ACCOUNTS_HOME": str(folder), **environment}.items():
            monkeypatch.setenv(name, value)
        return plan.draw_up()

    return draw


def test_the_environment_wins_over_dotenv_and_dotenv_over_what_we_made_up(draw_up):
    made_up = draw_up().settings["SECRET_KEY"]

    assert draw_up().settings["SECRET_KEY"] == made_up
    assert draw_up("SECRET_KEY=from-the-file").settings["SECRET_KEY"] == "from-the-file"
    assert draw_up("SECRET_KEY=from-the-file", SECRET_KEY="from-outside").settings["SECRET_KEY"] == "from-outside"


def test_a_blank_setting_is_not_set(draw_up):
    assert draw_up("PORT=").ports["PORT"] == 8008
    assert len(draw_up(SECRET_KEY="").settings["SECRET_KEY"]) >= 32


def test_the_other_ports_follow_the_first_unless_they_are_set(draw_up):
    drawn = draw_up("POSTGRES_PORT=5555", PORT="9000")

    assert drawn.ports == {"PORT": 9000, "DEMO_PORT": 9001, "POSTGRES_PORT": 5555, "REDIS_PORT": 9003}
    assert drawn.url == "http://127.0.0.1:9000"
    assert drawn.demo_url == "http://127.0.0.1:9001/v1"


def test_people_come_back_to_the_port_we_listen_on_unless_the_operator_knows_better(draw_up):
    assert draw_up().settings["PUBLIC_URL"] == Settings.public_url
    assert draw_up("PORT=9000").settings["PUBLIC_URL"] == "http://localhost:9000"
    assert draw_up(PORT="9000", PUBLIC_URL=" ").settings["PUBLIC_URL"] == "http://localhost:9000"
    assert draw_up("PUBLIC_URL=https://a.test", PORT="9000").settings["PUBLIC_URL"] == "https://a.test"


def test_every_process_is_told_where_people_come_back_to(draw_up):
    service = LocalService(draw_up(PORT="9000"), Signals())

    assert {one.environment["PUBLIC_URL"] for one in (service.web, service.worker, service.beat)} == {
        "http://localhost:9000"
    }


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"PORT": "http"}, "PORT must be a port"),
        ({"PORT": "0"}, "PORT would be 0"),
        ({"PORT": "65535"}, "DEMO_PORT would be 65536"),
        ({"GRACEFUL_TIMEOUT": "soon"}, "GRACEFUL_TIMEOUT must be a number of seconds"),
    ],
)
def test_nonsense_is_refused_by_name(draw_up, environment, sentence):
    with pytest.raises(LocalError, match=sentence):
        draw_up(**environment)


def test_a_taken_port_is_refused_with_the_setting_that_changes_it(draw_up):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        with pytest.raises(LocalError, match=rf"Port {port} on 127.0.0.1 cannot be had .*set REDIS_PORT"):
            draw_up(REDIS_PORT=str(port)).require_free_ports()


def test_two_names_for_one_port_are_refused(draw_up):
    with pytest.raises(LocalError, match="PORT and DEMO_PORT are both 8008"):
        draw_up(DEMO_PORT="8008").require_free_ports()


def test_the_port_of_a_server_we_do_not_start_may_be_taken(draw_up):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])

        ours = {name: str(free_port()) for name in ("PORT", "DEMO_PORT", "REDIS_PORT")}
        drawn = draw_up(POSTGRES_PORT=port, DATABASE_URL="postgresql://somewhere", **ours)

        drawn.require_free_ports()


def test_whose_password_it_is_decides_whether_it_may_be_printed(draw_up):
    assert draw_up().password_is_ours
    assert not draw_up(ADMIN_PASSWORD="a password of the operator").password_is_ours


def test_a_second_start_on_one_folder_is_refused_until_the_first_has_ended(folder):
    code = f"""{WITHOUT_APPLICATION}
from shared_accounts.local import home
home.lock(pathlib.Path({str(folder)!r}))
print("locked", flush=True)
input()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout.readline() == b"locked\n"

        with pytest.raises(LocalError, match="Already running"):
            home.lock(folder)
        first.kill()

    os.close(home.lock(folder))


def test_a_crash_while_keeping_leaves_what_was_kept(folder, monkeypatch):
    home.keep(folder, API_KEY="sk-first")

    monkeypatch.setattr(home.os, "fsync", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        home.keep(folder, API_KEY="sk-second")

    assert kept(folder) == {"API_KEY": "sk-first"}


def test_somebody_elses_folder_is_refused(folder, monkeypatch):
    monkeypatch.setattr(home.os, "geteuid", lambda: 12345)

    with pytest.raises(LocalError, match="belongs to another user"):
        home.prepare(folder)
