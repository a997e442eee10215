"""Which accounts' upstreams speak Gemini's own API, and which models a caller can ask for in it."""

from __future__ import annotations

from urllib.parse import urlsplit

from sqlalchemy import text

from shared_accounts.accounts import presets
from shared_accounts.accounts.selection import Candidate
from shared_accounts.extensions import db
from shared_accounts.users.roster import Caller

DIALECT = "generate"

_PERHAPS = """
select distinct model, base_url, preset from accounts, unnest(models) as model
where state = 'active' and (owner_id = :user_id or (sharing = 'shared' and not :only_dedicated))
    and (preset in ('gemini', :plugin) or base_url like '%generativelanguage.googleapis.com%')
"""


def speaks(host: str, preset: str | None) -> bool:
    """Tell whether an upstream takes Gemini's requests: Google's own, or a Plug-in API server."""
    return preset == presets.PLUGIN or presets.dialect(host, preset).also_speaks == DIALECT


def serves(candidate: Candidate) -> bool:
    """Tell whether this account's upstream takes them."""
    return speaks(candidate.target.origin.host, candidate.preset)


def models_for(caller: Caller) -> set[str]:
    """Return the models that some account in service would answer for this caller, by their upstreams' names."""
    given = {"user_id": caller.user_id, "only_dedicated": caller.use_only_dedicated, "plugin": presets.PLUGIN}
    rows = db.session.execute(text(_PERHAPS), given)
    return {row.model for row in rows if speaks(urlsplit(row.base_url).hostname or "", row.preset)}
