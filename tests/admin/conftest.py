from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shared_accounts.users.models import User
from tests import factories
from tests.conftest import Client, rows


@pytest.fixture
def boss(client: Client) -> User:
    """An admin."""
    return factories.admin(username="boss")


@pytest.fixture
def admin(boss: User, sign_in: Callable[[User], Client]) -> Client:
    """The admin's client."""
    return sign_in(boss)


@pytest.fixture
def acts(client: Client) -> Callable[[], list[dict[str, Any]]]:
    """What stands in the audit log, oldest first."""
    return lambda: sorted(rows("audit_log"), key=lambda row: row["id"])
