from __future__ import annotations


def test_smoke(client):
    assert client.get("/livez").json == {"status": "alive"}
