"""Every screen in English: by day and by night, on a desk and on a phone. Apart from the other language, to be quick."""

from __future__ import annotations

import pytest

from tests.console.browser import MAY_BE_LEFT_OUT

pytestmark = pytest.mark.skipif(MAY_BE_LEFT_OUT, reason="no Chromium here: THE CONSOLE WAS NOT LOOKED AT IN A BROWSER")


@pytest.mark.timeout(900)  # dozens of screens, and machines may be busy
def test_no_screen_complains_scrolls_sideways_asks_strangers_or_shuts_anybody_out(seen):
    found = seen("en")

    assert found == {}, "\n".join(f"{screen}: {issue}" for screen, issues in found.items() for issue in issues)
