"""What requests that are no chats are thought to take, and which usage is believed. Pure."""

from __future__ import annotations

import pytest

from shared_accounts.errors import InvalidRequest
from shared_accounts.gateway import estimates
from shared_accounts.gateway.dialects import generate_meter
from shared_accounts.gateway.meters import FlatMeter
from shared_accounts.gateway.multipart import File
from shared_accounts.gateway.sse import tokens_of
from shared_accounts.quotas.pricing import Tokens

MOST = 500
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
CASES = [
    (estimates.vectors, {"input": "abcdef"}, (3, 0)),
    (estimates.vectors, {"input": ["abcdef", "世界"]}, (3 + 3, 0)),
    (estimates.vectors, {"input": [1, 2, 3, 4]}, (4, 0)),
    (estimates.vectors, {"input": [[1, 2], [3, 4, 5]]}, (5, 0)),
    (estimates.moderations, {"input": [{"type": "text", "text": "abcdef"}, PICTURE]}, (3 + 1000, 0)),
    (estimates.ranking, {"query": "abc", "documents": ["abcdef", {"text": "abc"}, PICTURE]}, (2 + 3 + 2 + 1000, 0)),
    (estimates.completions, {"prompt": "abcdef"}, (3, MOST)),
    (estimates.completions, {"prompt": "abcdef", "max_tokens": 10, "n": 3}, (3, 30)),
    (estimates.completions, {"prompt": "abcdef", "max_tokens": 10, "n": 2, "best_of": 5}, (3, 50)),
    (estimates.completions, {"prompt": ["abcdef", "abc"], "max_tokens": 10}, (5, 20)),
    (estimates.completions, {"prompt": [1, 2, 3], "max_tokens": 10}, (3, 10)),
    (estimates.completions, {"prompt": [[1, 2, 3], [4]], "max_tokens": 10}, (4, 20)),
    (estimates.pictures, {"prompt": "abc", "n": 3}, (2, 12000)),
    (estimates.pictures, {"prompt": "abc", "n": "3"}, (2, 12000)),
    (estimates.changed_pictures, {"prompt": "abc", "image": File(9_000_000)}, (1002, 4000)),
    (estimates.changed_pictures, {"prompt": "abc", "image": [File(1), File(2)]}, (2002, 4000)),
    (estimates.changed_pictures, {"prompt": "abc", "images": [{"file_id": "x"}]}, (1002, 4000)),
    (estimates.varied_pictures, {"image": File(9), "n": "2"}, (1000, 8000)),
    (estimates.speech, {"input": "abcdef"}, (3, 6)),
    (estimates.transcripts, {"file": File(1_000_000), "prompt": "abc"}, (1002, 251)),
]


@pytest.mark.parametrize(("estimate", "body", "expected"), CASES)
def test_an_estimate_follows_from_the_fields(estimate, body, expected):
    assert estimate(body, MOST) == expected


@pytest.mark.parametrize("count", [0, -1, 129, 1.5, True, "two", "", "१", "9" * 30])
def test_a_count_that_makes_no_sense_is_refused_by_name(count):
    with pytest.raises(InvalidRequest) as refused:
        estimates.pictures({"prompt": "abc", "n": count}, MOST)

    assert refused.value.field == "n"


USAGES = [
    ({"prompt_tokens": 8, "total_tokens": 8}, Tokens(8, 0)),
    ({"prompt_tokens": 8, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 3}}, Tokens(8, 2, 3)),
    ({"input_tokens": 8, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 3}}, Tokens(8, 2, 3)),
    ({"prompt_tokens": 8, "completion_tokens": 2, "input_tokens": 999, "output_tokens": 999}, Tokens(8, 2)),
    ({"input_tokens": 8}, Tokens(8, 0)),
    ({"output_tokens": 8}, None),
    ({"input_tokens": "8", "output_tokens": 2}, None),
    ({"input_tokens": 8, "output_tokens": -2}, None),
    ({"input_tokens": True, "output_tokens": 2}, None),
    ({"total_tokens": 9}, None),
    ({}, None),
]


@pytest.mark.parametrize(("usage", "expected"), USAGES)
def test_a_usage_is_read_by_either_of_its_names(usage, expected):
    assert tokens_of(usage) == expected


def test_seconds_are_no_tokens_and_no_lie_and_a_total_alone_is_a_prompt():
    seconds, total, lie = FlatMeter(70), FlatMeter(70), FlatMeter(70)

    seconds.read_whole({"usage": {"type": "duration", "seconds": 9}}, 1)
    total.read_whole({"usage": {"total_tokens": 26}}, 1)
    lie.read_whole({"usage": {"prompt_tokens": -5}}, 1)

    assert [meter.tokens for meter in (seconds, total, lie)] == [None, Tokens(26, 0), None]
    assert [meter.unbelieved for meter in (seconds, total, lie)] == [False, False, True]
    assert {meter.completion_estimate() for meter in (seconds, total, lie)} == {70}


def test_geminis_usage_that_makes_no_sense_is_not_believed_and_what_came_is_weighed():
    meter = generate_meter.Meter()
    candidate = {"content": {"parts": [{"text": "abcdef"}, {"functionCall": {"name": "f"}}, 5]}}

    meter.read_whole({"candidates": [candidate, "odd"], "usageMetadata": {"promptTokenCount": "many"}}, 1)

    assert (meter.tokens, meter.unbelieved) == (None, True)
    assert meter.completion_estimate() == 3 + 10 + 1
