"""The rules of the house, as tests: who may import, commit, enqueue, see the request, move a balance; and how long."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest

from shared_accounts import tasks
from shared_accounts.config import Settings, load
from shared_accounts.extensions import api, celery
from tests.conftest import ROOT

APP = ROOT / "shared_accounts"

DOORS = re.compile(r"app|api_pages|tasks|cli(_\w+)?|health|\w+\.(\w+_)?api|gateway\.v1|(console|admin)(\.\w+)*")
LADDER = [
    {
        "config",
        "setting_letters",
        "setting_values",
        "setting_checks",
        "live_settings",
        "errors",
        "crypto",
        "statement_pool",
        "statements",
        "group_commit",
        "worker",
        "migrating",
        "described",
        "extensions",
        "clockwork",
        "green",
        "fresh",
        "logs",
        "metrics",
        "asked",
        "lean",
        "access",
        "cors",
        "requests_in",
        "refusals",
        "strict_json",
        "json_bodies",
        "outbound",
    },
    {"audit"},
    {"users", "money"},
    {"keys", "quotas", "usage"},
    {"accounts"},
    {"alerts", "auth", "plugin"},
    {"gateway"},
]
GROUND, TOP = 0, len(LADDER)
APART = {"__init__", "local"}
"""The package's name, and what only `./run.sh` and the tests use."""

MAY_COMMIT = {"gateway.exchange", "gateway.attempts", "gateway.books", "gateway.consequences"}
MAY_SEE_THE_REQUEST = {
    "asked",
    "lean",
    "access",
    "audit.trail",
    "auth.guards",
    "auth.throttle",
    "cors",
    "gateway.exchange",
    "requests_in",
    "refusals",
}
MAY_MOVE_A_BALANCE = {"quotas.ledger", "quotas.moves", "quotas.refill"}
REQUEST_BOUND = {"asked", "request", "g", "session", "current_app"}
MOVES_A_BALANCE = re.compile(r"update\s+quota_pools|insert\s+into\s+(quota_pools|ledger_entries)", re.IGNORECASE)

OPEN_ROUTES = {
    "account-oauth.landing",
    "console.answer_code",
    "console.code",
    "console.enter",
    "console.join",
    "console.prefer",
    "console.returned",
    "console.sign_in",
    "console.sign_up",
    "console.static",
    "console.kept",
    "auth.login",
    "auth.refresh",
    "auth.second_factor",
    "sign-up.check_username",
    "sign-up.register",
    "sso.callback",
    "sso.callback_by_program",
    "sso.exchange",
    "sso.github_callback",
    "sso.github_login",
    "sso.initiate",
    "sso.list_providers",
    "sso.login",
    "sso.sso_callback",
    "health.health",
    "health.index",
    "health.livez",
    "health.readyz",
    "metrics.metrics",
    "static",
}
"""Where strangers may go; besides, in development, the API's own description."""
DESCRIPTION = "api-docs."


class Module(NamedTuple):
    """One file of the application, by its name below the package: `users.roster`."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def is_door(self) -> bool:
        return bool(DOORS.fullmatch(self.name))

    @property
    def folder(self) -> str:
        return self.name.partition(".")[0]


@cache
def modules(root: Path = APP) -> list[Module]:
    found = []
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)
        found.append(Module(name, path, ast.parse(path.read_text())))
    return found


def inside(root: Path) -> list[Module]:
    return [module for module in modules(root) if module.folder not in APART]


def imports(module: Module, known: set[str]) -> Iterator[str]:
    """Which modules of ours a module imports, `users.roster` for each of the ways to say it."""
    for node in ast.walk(module.tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            names = [f"{source}.{alias.name}" for alias in node.names]
            if node.level:
                yield "relative"
        for name in names:
            package, _, inner = name.partition(".")
            if package == "shared_accounts":
                yield inner if inner in known else inner.rpartition(".")[0]


def upward_imports(root: Path) -> list[str]:
    known = {module.name for module in modules(root)}
    return [
        f"{module.name} imports {target}"
        for module in inside(root)
        for target in imports(module, known)
        if not _may_import(module, target)
    ]


def _may_import(module: Module, target: str) -> bool:
    folder = target.partition(".")[0]
    if folder == "local" or target == "relative":
        return False
    if module.is_door:
        return True
    if DOORS.fullmatch(target):
        return False
    mine, other = _rung(module.folder), _rung(folder)
    return other < mine or folder == module.folder or mine == other == GROUND


def _rung(folder: str) -> int:
    return next((rung for rung, folders in enumerate(LADDER) if folder in folders), TOP)


def strays(root: Path) -> list[str]:
    """Modules whose folder has no place on the ladder."""
    return [module.name for module in inside(root) if _rung(module.folder) == TOP and not module.is_door]


def commits(root: Path) -> list[str]:
    return _calls(root, {"commit"}, allowed=MAY_COMMIT)


def enqueues(root: Path) -> list[str]:
    return _calls(root, {"delay", "apply_async", "send_task"}, allowed={"clockwork"}) + _calls(
        root, {"soon"}, allowed=set()
    )


def _calls(root: Path, names: set[str], *, allowed: set[str]) -> list[str]:
    return [
        f"{module.name}:{node.lineno} says {node.attr}"
        for module in inside(root)
        if not module.is_door and module.name not in allowed
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr in names
    ]


def request_watchers(root: Path) -> list[str]:
    return [
        f"{module.name}:{node.lineno} sees {alias.name}"
        for module in inside(root)
        if not module.is_door and module.name not in MAY_SEE_THE_REQUEST
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and node.module in {"flask", "shared_accounts.asked"}
        for alias in node.names
        if alias.name in REQUEST_BOUND
    ]


def balance_movers(root: Path) -> list[str]:
    return [
        f"{module.name}:{node.lineno} moves a balance"
        for module in inside(root)
        if module.name not in MAY_MOVE_A_BALANCE
        for node in ast.walk(module.tree)
        if _moves_a_balance(node)
    ]


def _moves_a_balance(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return bool(MOVES_A_BALANCE.search(node.value))
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        return node.attr in {"balance", "reserved"}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "values":
        return bool({keyword.arg for keyword in node.keywords} & {"balance", "reserved"})
    return False


def too_long(root: Path) -> list[str]:
    found = [
        f"{module.name}.{node.name} has {length} lines"
        for module in modules(root)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > 40
    ]
    for module in modules(root):
        length = len(module.path.read_text().splitlines())
        if length > 200:
            found.append(f"{module.name} has {length} lines")
    return found


def swallowers(root: Path) -> list[str]:
    """Handlers that catch everything and do not raise it again."""
    return [
        f"{module.name}:{node.lineno} catches everything"
        for module in inside(root)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}))
        and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
        and module.name not in {"tasks", "refusals"}
    ]


RULES = [upward_imports, strays, commits, enqueues, request_watchers, balance_movers, too_long, swallowers]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_its_rules(rule):
    assert rule(APP) == []


PLANTED = {
    "users/bad.py": (
        """
        from flask import Flask, request
        import shared_accounts.tasks
        from shared_accounts import cli
        from shared_accounts.keys import keyring
        from shared_accounts.local.servers import Postgres
        from . import roster
        from shared_accounts.users import roster
        from shared_accounts.errors import NotFound

        def act(session, pool):
            session.commit()
            cli.delay()
            pool.balance += 1
            pool.update().values(reserved=3)
            session.execute("UPDATE quota_pools SET owed = 0")
            try:
                act()
            except Exception:
                pass
        """,
        {
            "users.bad imports tasks",
            "users.bad imports cli",
            "users.bad imports keys.keyring",
            "users.bad imports local.servers",
            "users.bad imports relative",
            "users.bad:11 says commit",
            "users.bad:12 says delay",
            "users.bad:1 sees request",
            "users.bad:13 moves a balance",
            "users.bad:14 moves a balance",
            "users.bad:15 moves a balance",
            "users.bad:18 catches everything",
        },
    ),
    "keys/bad.py": (
        """
        from shared_accounts.quotas import ledger
        from shared_accounts.keys import api
        from shared_accounts.users import roster
        from shared_accounts.config import load
        """,
        {"keys.bad imports quotas.ledger", "keys.bad imports keys.api"},
    ),
    "config.py": ("from shared_accounts.users import models", {"config imports users.models"}),
    "utils/bad.py": ("x = 1", {"utils.bad"}),
    "keys/api.py": ("from shared_accounts import tasks\ndb.session.commit(tasks.one.delay())", set()),
    "users/long.py": (
        "def f():\n" + "    x = 1\n" * 40 + "\n" * 200,
        {"users.long.f has 41 lines", "users.long has 240 lines"},
    ),
}


def test_the_rules_bite(tmp_path):
    for file in ("tasks.py", "cli.py", "users/roster.py", "users/models.py", "keys/keyring.py", "quotas/ledger.py"):
        _plant(tmp_path, file, "")
    _plant(tmp_path, "local/servers.py", "")
    for file, (source, _) in PLANTED.items():
        _plant(tmp_path, file, source)

    named = {problem for rule in RULES for problem in rule(tmp_path)}

    assert named == set().union(*(problems for _, problems in PLANTED.values()))


def _plant(root: Path, file: str, source: str) -> None:
    path = root / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(line.removeprefix(" " * 8) for line in source.lstrip("\n").splitlines()))


def test_local_mode_is_known_to_nobody():
    everything = [*APP.rglob("*.py"), *ROOT.glob("*.py")]
    users = [path for path in everything if "local" not in path.parts and "shared_accounts.local" in path.read_text()]

    assert users == []


def test_migrations_know_nothing_of_the_application():
    imported = {
        name
        for path in (ROOT / "migrations" / "versions").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }

    assert not [name for name in imported if name.startswith("shared_accounts")]
    assert "alembic" in imported


def _routes(app):
    for rule in app.url_map.iter_rules():
        for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
            yield rule, method


def test_every_route_asks_who_is_there_before_anything_else(app, client):
    answers = {}
    for rule, method in _routes(app):
        if rule.endpoint in OPEN_ROUTES or rule.endpoint.startswith(DESCRIPTION):
            continue
        path = re.sub(r"<(\w+[^:>]*:)?\w+>", "1", re.sub(r"<uuid:\w+>", str(uuid4()), rule.rule))
        answers[f"{method} {rule.rule}"] = client.open(path, method=method).status_code

    assert answers
    assert {route for route, status in answers.items() if status != 401} == set()


def test_every_open_route_exists(app):
    assert {rule.endpoint for rule, _ in _routes(app)} >= OPEN_ROUTES


def test_every_route_is_in_the_document(app):
    documented = {re.sub(r"\{.*?\}", "*", path) for path in api.spec.to_dict()["paths"]}
    served = {
        re.sub(r"<.*?>", "*", rule.rule)
        for rule, _ in _routes(app)
        if not rule.endpoint.startswith(("static", "console.", DESCRIPTION))
    }

    assert served - documented == set()


def test_every_guarded_route_says_so_in_the_document(app):
    open_ones = {
        (method.lower(), re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule, method in _routes(app)
        if rule.endpoint in OPEN_ROUTES
    }
    for path, operations in api.spec.to_dict()["paths"].items():
        for method, operation in operations.items():
            if method in {"get", "post", "put", "patch", "delete"}:
                assert ("security" in operation) is not ((method, path) in open_ones), (method, path)
                assert operation.get("summary"), (method, path)


def test_the_document_can_be_read(client):
    document = client.get("/api/openapi.json").json

    refusal = document["paths"]["/api/auth/me"]["get"]["responses"]["401"]["content"]["application/json"]["schema"]
    assert refusal == {"$ref": "#/components/schemas/Refusal"}
    assert document["components"]["schemas"]["Credentials"]["required"] == ["password", "username"]


def test_every_setting_is_explained_and_nothing_else_is():
    named = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))

    assert named - {"SHARED_ACCOUNTS_HOME"} == {spec.name.upper() for spec in dataclasses.fields(Settings)}


def test_the_example_says_the_defaults(environment):
    lines = re.findall(r"^#?([A-Z][A-Z0-9_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    secret = {spec.name.upper() for spec in dataclasses.fields(Settings) if spec.default is dataclasses.MISSING}
    example = {name: value for name, value in lines if name not in secret | {"SHARED_ACCOUNTS_HOME", "APP_ENV"}}

    assert not [name for name, value in lines if name in secret and value]
    needed = {name: environment[name] for name in secret}
    assert load({**needed, **example, "APP_ENV": "development"}) == load({**needed, "APP_ENV": "development"})


def test_every_timetable_entry_is_a_registered_task(app):
    assert {entry["task"] for entry in tasks.TIMETABLE.values()} <= set(celery.tasks)


def test_every_task_has_time_limits(app):
    ours = [task for name, task in celery.tasks.items() if name.startswith("shared_accounts.")]

    assert ours
    for task in ours:
        assert 0 < task.soft_time_limit < task.time_limit, task.name
