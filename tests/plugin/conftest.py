"""The Plug-in API played twice: as itself (`plugin_server`), and by a script that may say anything (`scripted`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shared_accounts.plugin.connection import PluginConnection
from tests.plugin_api import plugin_process, plugin_server
from tests.upstream import Act, Upstream

__all__ = ["plugin_process", "plugin_server"]


@pytest.fixture
def connect() -> Iterator[Callable[..., PluginConnection]]:
    """Make connections; none of their sockets outlives the test."""
    made: list[PluginConnection] = []

    def connect_to(server: Upstream | str, **options: Any) -> PluginConnection:
        url = server if isinstance(server, str) else f"http://127.0.0.1:{server.port}"
        made.append(PluginConnection(url, **options))
        return made[-1]

    yield connect_to
    for connection in made:
        connection.close()


@pytest.fixture
def scripted() -> Iterator[Callable[..., Upstream]]:
    """Start servers that play these acts, one per request; the last one repeats."""
    started: list[Upstream] = []

    def start(*acts: Act) -> Upstream:
        started.append(Upstream(*acts))
        return started[-1]

    yield start
    for server in started:
        server.stop()
