from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from werkzeug.exceptions import HTTPException

from shared_accounts.config import Settings
from shared_accounts.local.plan import PORTS
from tests.conftest import ROOT

README, TWIN = ROOT / "README.md", ROOT / "README.zh-CN.md"
LAUNCHER = {"SHARED_ACCOUNTS_HOME", *PORTS}
"""Settings that only `./run.sh` reads."""

both = pytest.mark.parametrize("readme", [README, TWIN], ids=["English", "Chinese"])


def headings(readme: Path) -> list[int]:
    return [len(marks) for marks in re.findall(r"^(#+) ", _prose(readme), re.MULTILINE)]


def blocks(readme: Path) -> list[str]:
    return re.findall(r"^```\w+\n.*?^```$", readme.read_text(), re.MULTILINE | re.DOTALL)


def mentions(readme: Path) -> list[str]:
    """Everything the prose sets in `code`, in alphabetical order."""
    return sorted(re.findall(r"`([^`\n]+)`", _prose(readme)))


def routes(readme: Path) -> set[tuple[str, str]]:
    return set(re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/\S+)`", readme.read_text()))


def paths(readme: Path) -> set[str]:
    """Paths of the service in URLs and in `code`."""
    text = readme.read_text()
    return {*re.findall(r"http://127\.0\.0\.1:8008(/[^\s\"'`]+)", text), *re.findall(r"`(/(?:api|v1)/[^\s`]+)`", text)}


def settings(readme: Path) -> set[str]:
    return set(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?:=[^`]*)?`", readme.read_text()))


def _prose(readme: Path) -> str:
    text = readme.read_text()
    for block in blocks(readme):
        text = text.replace(block, "")
    return text


def _example(path: str) -> str:
    return re.sub(r"\{\w+\}", "1", path.replace("{session_id}", "00000000-0000-0000-0000-000000000000"))


def test_the_twins_have_the_same_headings():
    assert headings(README) == headings(TWIN)
    assert len(headings(README)) > 5


def test_the_twins_show_the_same_commands():
    assert blocks(README) == blocks(TWIN)
    assert len(blocks(README)) > 10


def test_the_twins_name_the_same_commands_routes_files_and_settings():
    assert mentions(README) == mentions(TWIN)


def test_the_twins_have_as_many_lines_in_each_table_and_list():
    shapes = [re.findall(r"^(\||- |\d\. )", _prose(readme), re.MULTILINE) for readme in (README, TWIN)]

    assert shapes[0] == shapes[1]


@both
def test_the_first_screen_shows_both_commands(readme):
    first_screen = readme.read_text().splitlines()[:30]

    assert {"./run.sh", "./test.sh"} <= set(first_screen)


@both
def test_every_route_named_exists(app, readme):
    url_map = app.url_map.bind("127.0.0.1")

    assert len(routes(readme)) > 10
    for method, path in routes(readme):
        try:
            url_map.match(_example(path), method=method)
        except HTTPException as error:
            pytest.fail(f"{method} {path}: {error}")
    for path in paths(readme):
        assert path in {"/v1", "/api/admin"} or url_map.allowed_methods(_example(path)), path


@both
def test_every_setting_named_exists(readme):
    known = {spec.name.upper() for spec in dataclasses.fields(Settings)} | LAUNCHER

    assert len(settings(readme)) > 10
    assert settings(readme) - known == set()


@both
def test_every_command_of_ours_exists(app, readme):
    named = re.findall(r"flask --app wsgi (\w+) (\w+)", readme.read_text())

    assert {("users", "create"), ("quotas", "verify")} <= set(named)
    for group, command in named:
        assert command in app.cli.commands[group].commands, (group, command)


@both
def test_every_process_of_the_procfile_is_explained(readme):
    for line in (ROOT / "Procfile").read_text().splitlines():
        name, _, command = line.partition(": ")
        assert f"| {name} | `{command}` |" in readme.read_text(), name


@both
def test_every_file_named_exists(readme):
    text = readme.read_text()
    linked = set(re.findall(r"\]\(([^)]+)\)", text))
    listed = set(re.findall(r"^\| `([\w/]+/)` \|", text, re.MULTILINE))
    scripts = set(re.findall(r"\./\w+\.sh", text))

    assert len(listed) > 10
    for path in linked | listed | scripts:
        assert (ROOT / path).exists(), path


def test_every_folder_of_the_application_is_on_the_map():
    subjects = {f"shared_accounts/{path.parent.name}/" for path in (ROOT / "shared_accounts").glob("*/__init__.py")}

    assert {subject for subject in subjects if f"| `{subject}` |" not in README.read_text()} == set()


def test_decisions_are_numbered_without_gaps_and_say_context_choice_and_price():
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))

    for number, decision in enumerate(decisions, start=1):
        text = decision.read_text()
        assert decision.name.startswith(f"{number:04}-")
        assert text.startswith(f"# {number}. ")
        assert re.findall(r"^## (\w+)$", text, re.MULTILINE) == ["Context", "Choice", "Price"]
    assert decisions
