from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from openapi_spec_validator import OpenAPIV30SpecValidator

from tests.conftest import ROOT

DOCUMENT = "/api/openapi.json"
PAGES = ["/api/docs", "/api/redoc"]
NO_CONTENT = "204"

ASK = """
import sys
from shared_accounts import create_app
client = create_app().test_client()
print(*[client.get(path).status_code for path in sys.argv[1:]])
"""


@pytest.fixture
def document(app):
    return app.test_client().get(DOCUMENT).json


def operations(document) -> Iterator[tuple[str, str, dict]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method != "parameters":
                yield path, method, operation


def resolved(document, schema):
    name = schema["$ref"].removeprefix("#/components/schemas/")
    return document["components"]["schemas"][name]


def test_the_document_is_valid_openapi(document):
    assert document["openapi"].startswith("3.0.")
    assert [error.message for error in OpenAPIV30SpecValidator(document).iter_errors()] == []


def test_the_document_has_every_route_and_no_other(app, document):
    served = {
        (re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        if not rule.endpoint.startswith(("static", "console.", "api-docs."))
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }

    assert {(path, method) for path, method, _ in operations(document)} == served


def test_every_good_answer_has_a_schema(document):
    found = 0
    for path, method, operation in operations(document):
        for status, answer in operation["responses"].items():
            if status.startswith("2") and status != NO_CONTENT:
                found += 1
                assert all(kind.get("schema") for kind in answer["content"].values()), (method, path, status)

    assert found >= len(document["paths"])


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/plugin-api/chat/completions"])
def test_a_chat_may_be_answered_whole_or_as_a_stream(document, path):
    chat = document["paths"][path]["post"]

    asked = resolved(document, chat["requestBody"]["content"]["application/json"]["schema"])
    assert asked["required"] == ["messages", "model"]
    assert asked["additionalProperties"] is True
    assert set(chat["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}


def test_the_gateway_takes_a_key_or_a_token_in_either_header(document):
    gateway = [operation for _, _, operation in operations(document) if operation["tags"] == ["gateway"]]

    assert len(gateway) >= 5
    assert all(operation["security"] == [{"bearer": []}, {"x-api-key": []}] for operation in gateway)
    assert set(document["components"]["securitySchemes"]) == {"bearer", "x-api-key"}


@pytest.mark.parametrize("path", ["/v1/models", "/api/plugin-api/models", "/api/accounts"])
def test_a_refusal_looks_as_documented(client, document, path):
    refusal = document["paths"][path]["get"]["responses"]["401"]["content"]["application/json"]["schema"]
    documented = resolved(document, refusal)["properties"]

    answer = client.get(path).json

    assert set(answer) <= set(documented)
    if path.startswith("/v1/"):
        assert set(answer["error"]) == set(resolved(document, documented["error"])["properties"])


class Links(HTMLParser):
    """What a page makes the browser load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):  # noqa: ARG002 - its name is the parser's
        self.found += [value for name, value in attrs if name in {"src", "href", "spec-url"}]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_loads_only_what_we_serve(app, page):
    client = app.test_client()
    with client.get(page) as answer:
        links = Links()
        links.feed(answer.text)
        policy = answer.headers["Content-Security-Policy"]

    assert links.found
    assert DOCUMENT in answer.text
    assert "//" not in policy
    assert policy.startswith("default-src 'none'")
    for link in links.found:
        assert re.match(r"/(?!/)", link), link
        with client.get(link) as loaded:
            assert loaded.status_code == 200, link


def test_the_assets_are_all_there_is_to_read(app):
    for path in ("/api/docs/../flask_swagger_ui.py", "/api/docs/%2e%2e/flask_swagger_ui.py", "/api/redoc/nothing.js"):
        assert app.test_client().get(path).status_code == 404, path


def test_production_has_neither_document_nor_pages(environment):
    paths = [DOCUMENT, *PAGES, "/api/docs/swagger-ui-bundle.js", "/api/redoc/redoc.standalone.js"]

    asked = subprocess.run(
        [sys.executable, "-c", ASK, *paths, "/livez"],
        env={**environment, "APP_ENV": "production"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert asked.stdout.split() == ["404"] * len(paths) + ["200"]
