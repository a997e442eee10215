"""Packages that take a second to import, imported when something of theirs is first asked for.

    openai = Later("openai")
    ... openai.OpenAI(...) ...

Every process of a run collects all tests, and only one of them runs those that need such a package.
"""

from __future__ import annotations

import importlib
from typing import Any


class Later:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)
