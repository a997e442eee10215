"""How schemathesis is driven: one operation at a time by whom it is meant for, or many in a row; with every check."""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import schemathesis
from schemathesis import engine
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events

from shared_accounts import create_app
from shared_accounts.accounts import presets
from shared_accounts.config import load
from shared_accounts.extensions import db
from tests.document import pardons
from tests.document.cast import Cast
from tests.document.conftest import SETTINGS

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "2"))
"""How many examples are made up for each operation, beside those at the edges of what the document allows."""

_METHODS = ("get", "put", "post", "delete", "patch")
_ELSEWHERE = {preset.id for preset in presets.ALL if preset.base_url}
"""Presets whose upstreams are out there: tests talk to nobody but this machine."""
_MADE_UP = {
    "APP_ENV": "development",
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/nothing",
    "REDIS_URL": "redis://127.0.0.1:9/0",
    "SECRET_KEY": "Vq3xJ8mWc5Ls0RyTz7Kd1Pb9Hg4Nf6Ua",
    "JWT_SECRET_KEY": "w2Yk7Qe9Rt4Zs1Xc6Vb3Nm8Lp5Dj0Hg-",
    "PLUGIN_API_ENCRYPTION_KEY": "bXktdmVyeS1vd24ta2V5LWZvci1hLWRvY3VtZW50ISE=",
}


@functools.cache
def labels() -> list[str]:
    """Every operation of the document; asked before there is a server."""
    app = create_app(load({**_MADE_UP, **SETTINGS}))
    paths = app.test_client().get("/api/openapi.json").json["paths"]
    return [f"{method.upper()} {path}" for path, item in paths.items() for method in _METHODS if method in item]


class Run:
    """A server that is tried out, what it says about itself, and who calls it."""

    def __init__(self, document: dict[str, Any], url: str, cast: Cast) -> None:
        self.document = document
        self.url = url
        self.cast = cast

    def try_out(self, label: str) -> list[str]:
        """Try one operation with what its document allows and forbids; return what is wrong."""
        method, path = label.split(" ", 1)
        # What was answered before would make the next example depend on ids and on the order of tests.
        alone = {"extra-data-sources": {"responses": False}}
        fuzzing = {**alone, "error-feedback": {"enabled": False}}
        config = self._config(examples=alone, coverage=alone, fuzzing=fuzzing, stateful={"enabled": False})
        config["headers"] = {"Authorization": f"Bearer {self._credential(path)}"}
        document = self._document(lambda other: other == path, path)
        return self._execute(document, config, method=method, path=path)

    def walk(self, paths: str, credential: str, folder: Path) -> list[str]:
        """Make things, use them, take them away and use them again, in rows of calls; return what is wrong.

        What one member makes another must not see. Which data an operation takes is judged one by one, in `try_out`.
        """
        config = self._config(
            **{phase: {"enabled": False} for phase in ("examples", "coverage", "fuzzing")},
            stateful={"max-steps": 6, "generation": {"mode": "positive", "max-examples": EXAMPLES * 4}},
        )
        config["checks"] = {
            name: {"enabled": False} for name in ("positive_data_acceptance", "negative_data_rejection")
        }
        file = folder / "people.yaml"
        people = {"me": self.cast.token(getattr(self.cast, credential)), "peer": self.cast.token(self.cast.peer)}
        file.write_text(json.dumps({"auth": [_person(name, token) for name, token in people.items()]}))
        config["auth"] = {"wfc": {"path": str(file), "user": "me", "peers": list(people)}}
        document = self._document(re.compile(paths).match, "/")
        _link(document["paths"])
        taken = set(re.findall(r'"requestBody": {.*?"#/components/schemas/(\w+)"', json.dumps(document["paths"])))
        for fields in [document["components"]["schemas"][name].get("properties", {}) for name in taken]:
            fields |= {name: {"enum": [value]} for name, value in self.cast.certain().items() if name in fields}
        return self._execute(document, config)

    def _execute(self, document: dict[str, Any], config: dict[str, Any], **only: str) -> list[str]:
        db.session.rollback()  # or the connection would be taken from us while schemathesis is at work
        described = schemathesis.openapi.from_dict(document, config=SchemathesisConfig.from_dict(config))
        described.hook(filter_failure)
        made = described.include(**only) if only else described
        return [failure for event in engine.from_schema(made).execute() for failure in _failures(event)]

    def _config(self, **phases: Any) -> dict[str, Any]:
        return {
            "base-url": self.url,
            "generation": {"deterministic": True, "max-examples": EXAMPLES, "database": "none"},
            "phases": phases,
            "cache": {"enabled": False},
            "continue-on-failure": True,
            "warnings": False,
        }

    def _credential(self, path: str) -> str:
        if path == "/metrics":
            return SETTINGS["METRICS_TOKEN"]
        if path.startswith(("/v1", "/api/plugin-api/chat")):
            return self.cast.key
        return self.cast.token(self.cast.admin if path.startswith("/api/admin/") else self.cast.member)

    def _document(self, wanted: Any, path: str) -> dict[str, Any]:
        """Return a part of the document, with examples of what there is."""
        paths = {name: item for name, item in self.document["paths"].items() if wanted(name)}
        document = json.loads(json.dumps({**self.document, "paths": paths}))  # a copy, in a tenth of `deepcopy`'s time
        existing = self.cast.existing(path)
        for item in [document["paths"][path]] if path in paths else []:
            operations = [item[method] for method in _METHODS if method in item]
            for parameter in [p for one in (item, *operations) for p in one.get("parameters", ())]:
                if parameter["in"] == "path" and parameter["name"] in existing:
                    parameter["example"] = existing[parameter["name"]]
        for schema in document["components"]["schemas"].values():
            _exemplify(schema, self.cast.said())
        return document


def _person(name: str, token: str) -> dict[str, Any]:
    return {"name": name, "fixedHeaders": [{"name": "Authorization", "value": f"Bearer {token}"}]}


def _link(paths: dict[str, Any]) -> None:
    """Say which operations are about what a POST has made."""
    for path, item in paths.items():
        made = {
            f"{method} {other}": {
                "operationRef": f"#/paths/{other.replace('~', '~0').replace('/', '~1')}/{method}",
                "parameters": {re.findall(r"{(\w+)}", other)[0]: "$response.body#/id"},
            }
            for other in paths
            for method in _METHODS
            if re.match(rf"{re.escape(path)}/{{\w+}}", other) and method in paths[other]
        }
        for status, answer in item.get("post", {}).get("responses", {}).items():
            if status in {"200", "201"} and made:
                answer["links"] = made


def _exemplify(schema: dict[str, Any], said: dict[str, Any]) -> None:
    for name, field in schema.get("properties", {}).items():
        if name in said:
            field["example"] = said[name]
        if _ELSEWHERE & set(field.get("enum", ())):
            field["enum"] = [one for one in field["enum"] if one not in _ELSEWHERE]


def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Tell schemathesis whether something is a failure; it asks by this name."""
    label = f"{case.operation.method.upper()} {case.operation.path}"
    return not pardons.forgives(type(failure).__name__, label, case, response)


def _failures(event: events.EngineEvent) -> Iterator[str]:
    if isinstance(event, events.NonFatalError):
        yield str(event.info)
    if not isinstance(event, events.ScenarioFinished):
        return
    for case, checks in event.recorder.checks.items():
        for check in checks:
            if check.failure_info:
                answer = event.recorder.interactions[case].response
                said = answer.content.decode(errors="replace")[:500] if answer else ""
                status = answer.status_code if answer else "no answer"
                info = check.failure_info
                yield f"{check.name}: {info.failure.message}\n{status} {said}\n{info.code_sample}"
