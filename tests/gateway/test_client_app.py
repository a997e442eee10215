"""Which program asked, by its `X-App` header."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("AntiHub-Web", "AntiHub-Web"),
        ("  cli ", "cli"),
        ("x" * 64, "x" * 64),
        ("x" * 65, None),
        ("", None),
        ("a\tb", None),
        (None, None),
    ],
)
def test_the_line_says_which_program_asked(scene, upstream, said, kept):
    scene.account(upstream())

    assert scene.ask(headers=scene.headers(x_app=said)).status == 200

    assert scene.line()["client_app"] == kept
