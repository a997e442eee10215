"""Which models a caller can use at all."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from shared_accounts.extensions import db
from shared_accounts.users.roster import Caller

_MODELS = """
select model, extract(epoch from min(created_at))::bigint as created
from accounts, unnest(models) as model
where state = 'active' and (owner_id = :user_id or (sharing = 'shared' and not :only_dedicated))
group by model order by model
"""


@dataclass(frozen=True, slots=True)
class Model:
    """A model's name, and since when (Unix seconds) an account serves it."""

    name: str
    created: int


def models_for(caller: Caller) -> list[Model]:
    """Return the models that some account in service would answer for this caller, by name."""
    given = {"user_id": caller.user_id, "only_dedicated": caller.use_only_dedicated}
    return [Model(row.model, row.created) for row in db.session.execute(text(_MODELS), given)]
