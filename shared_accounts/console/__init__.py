"""The pages people meet in a browser: server-rendered, complete without JavaScript, nothing from elsewhere.

A door like those under `/api`, over the same verbs. Invariant: no script can read a credential, every form carries a
token of its session, and a page loads nothing but what stands in this folder.
"""

from __future__ import annotations

from flask import Flask

from shared_accounts.console import (  # noqa: F401 - their views hang on the blueprint once they are imported
    account,
    account_models,
    accounts,
    alerts,
    bring_many,
    code,
    consent,
    contribute,
    credential,
    entrance,
    exchange,
    factor,
    gifts,
    key,
    keys,
    link,
    live,
    overview,
    playground,
    preferences,
    profile,
    quota,
    sign_up,
    statement_print,
    terms,
    usage,
    usage_charts,
    usage_statement,
)
from shared_accounts.console.admin import (  # noqa: F401 - likewise
    accounts as all_accounts,
)
from shared_accounts.console.admin import (  # noqa: F401 - likewise
    alerts as group_alerts,
)
from shared_accounts.console.admin import (  # noqa: F401 - likewise
    audit,
    invitations,
    jobs,
    models,
    pools,
    prices,
    settings,
    status,
    user,
    users,
)
from shared_accounts.console.door import blueprint
from shared_accounts.console.frame import prepare
from shared_accounts.console.language import speak


def register(app: Flask) -> None:
    """Open the pages; must come after everything else, for unknown addresses get a page as well."""
    speak(app)
    prepare(app)
    app.register_blueprint(blueprint)
