from __future__ import annotations

from tests.plugin_api import plugin_process, plugin_server

__all__ = ["plugin_process", "plugin_server"]
