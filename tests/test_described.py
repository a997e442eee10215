"""The document is made for whoever asks first, once, and of the application it belongs to."""

from __future__ import annotations

from threading import Thread

import pytest
from flask import Flask

from shared_accounts.described import DescribedLate
from shared_accounts.json_bodies import Door, Refusal


class CountedDoor(Door):
    described = 0

    def register_views_in_doc(self, *args, **names):
        self.described += 1
        super().register_views_in_doc(*args, **names)


@pytest.fixture
def api():
    made = DescribedLate()
    made.ERROR_SCHEMA = Refusal
    return made


def opened(api, *names):
    app = Flask("described")
    app.config |= {"API_TITLE": "t", "API_VERSION": "1", "OPENAPI_VERSION": "3.0.3", "OPENAPI_URL_PREFIX": "/"}
    api.init_app(app)
    doors = [CountedDoor(name, name, description=f"about {name}") for name in names]
    for door in doors:
        door.add_url_rule(f"/{door.name}", "look", lambda: {"is": "open"})
        api.register_blueprint(door)
    return app.test_client(), doors


def test_a_door_is_open_before_it_is_described(api):
    client, doors = opened(api, "one", "two")

    assert client.get("/one").json == {"is": "open"}
    assert [door.described for door in doors] == [0, 0]


def test_whoever_asks_first_has_everything_described_in_order_and_once(api):
    client, doors = opened(api, "one", "two")
    api.later(lambda: api.spec.tag({"name": "last"}))

    first = client.get("/openapi.json").json

    assert list(first["paths"]) == ["/one", "/two"]
    assert [tag["name"] for tag in first["tags"]] == ["one", "two", "last"]
    assert client.get("/openapi.json").json == first
    assert [door.described for door in doors] == [1, 1]


def test_of_many_who_ask_at_once_nobody_gets_half_a_document(api):
    client, _ = opened(api, *(f"n{number}" for number in range(40)))
    seen = []
    askers = [Thread(target=lambda: seen.append(len(client.get("/openapi.json").json["paths"]))) for _ in range(4)]

    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()

    assert seen == [40] * 4


def test_another_application_has_a_document_of_its_own(api):
    opened(api, "one", "two")
    client, _ = opened(api, "three")

    assert list(client.get("/openapi.json").json["paths"]) == ["/three"]
