from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

import pytest

from tests.usage import scene


@pytest.fixture(autouse=True)
def the_time_it_is() -> None:
    """`NOW` and `THIS_HOUR` are those of a test's beginning wherever they were imported to: a run outlives hours.

    The hour before is not counted until a minute has gone by; as long it is the one that is not over.
    """
    now = datetime.now(UTC) - timedelta(minutes=1)
    if now - scene.THIS_HOUR < scene.HOUR:
        return
    fresh = {"NOW": (scene.NOW, now), "THIS_HOUR": (scene.THIS_HOUR, now.replace(minute=0, second=0, microsecond=0))}
    for module in [one for name, one in sys.modules.items() if name.startswith("tests.")]:
        for name, (stale, value) in fresh.items():
            if vars(module).get(name) is stale:
                setattr(module, name, value)
