"""Streams that say nothing for a while, and clients that leave in the middle: what is sent, and what is paid."""

from __future__ import annotations

import time

import pytest

from tests.gateway.scene import Scene, frames
from tests.gateway.server import Server
from tests.upstream import DONE, chunk, event, plays, usage_chunk

SILENT = [event(chunk({"role": "assistant", "content": "a"})), 3.5, event(chunk({"content": "b"}))]
END = [event(chunk({}, "stop")), event(usage_chunk()), DONE]


@pytest.fixture(scope="module")
def patient_server(start_servers) -> Server:
    """A gateway that says something every second, and hears upstreams out."""
    return start_servers(
        UPSTREAM_GAP_TIMEOUT=20, UPSTREAM_TOTAL_TIMEOUT=30, KEEP_ALIVE_SECONDS=1, DISCONNECT_DRAIN_SECONDS=5
    )


@pytest.fixture
def patient(scene, patient_server) -> Scene:
    return Scene(patient_server, f"patient-{scene.model}")


def test_a_silent_stream_gets_a_comment_now_and_then_and_loses_nothing(patient, upstream):
    patient.account(upstream(plays([*SILENT, *END])))

    reply = patient.ask(stream=True)

    assert 2 <= reply.body.count(b": keep-alive\n\n") <= 4
    assert [one["choices"][0]["delta"].get("content") for one in frames(reply.body)[:2]] == ["a", "b"]
    assert reply.body.endswith(DONE)
    assert patient.line()["outcome"] == "served"


def test_a_stream_cut_anywhere_is_whole_in_spite_of_the_comments(patient, upstream):
    whole = b"".join(part for part in [SILENT[0], SILENT[2], *END])
    pieces = []
    for start in range(0, len(whole), 97):
        pieces += [whole[start : start + 97], 2.3 if start in {97, 291} else 0.001]
    patient.account(upstream(plays(pieces)))

    reply = patient.ask(stream=True)

    assert b": keep-alive" in reply.body
    assert frames(reply.body)[-1] == "[DONE]"
    assert len(frames(reply.body)) == 4


def test_whom_a_client_left_is_heard_out_and_charged_what_it_took(patient, upstream):
    patient.account(upstream(plays([SILENT[0], 1.5, SILENT[2], *END])))

    with patient.stream() as response:
        assert response.read1(65536)

    line = patient.line()
    assert (line["outcome"], line["basis"], line["flag"]) == (
        "client_left",
        "measured",
        "heard out after the client had left",
    )
    assert line["charged"] == 100 + 4 * 50


def test_one_that_does_not_come_to_an_end_in_time_is_cut_off(patient, upstream):
    server = upstream(plays([SILENT[0], *[event(chunk({"content": "more"})), 0.5] * 60]))
    patient.account(server)
    start = time.monotonic()

    with patient.stream() as response:
        assert response.read1(65536)

    line = patient.line()
    assert (line["outcome"], line["basis"]) == ("client_left", "partial")
    assert 4 < time.monotonic() - start < 15
    assert patient.pool_now()["reserved"] == 0
