"""The accounts one has contributed, those first that need their owner."""

from __future__ import annotations

from typing import Any

from flask import g, render_template, request

from shared_accounts.console import holdings
from shared_accounts.console.door import page
from shared_accounts.console.frame import NEEDS_OWNER
from shared_accounts.console.holdings import Given


@page("/accounts")
def accounts() -> Any:
    """List one's accounts with their state, windows and what others drew today."""
    held = holdings.of(g.person.id)
    g.need = sum(one.state in NEEDS_OWNER for one in held)
    given = holdings.given_today([one.row for one in held]) if held else {}
    return render_template(
        "screens/accounts.html",
        holdings=[(one, given.get(one.row.id, Given())) for one in held],
        serving=sum(one.state == "active" for one in held),
        waiting=sum(one.state in {"cooling", "exhausted", "draining"} for one in held),
        needing=g.need,
        said=request.args.get("said", ""),
    )
