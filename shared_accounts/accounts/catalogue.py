"""Which models there are: for a caller those she can use at all, for admins every one.

An alias is a model like any other while its target is served; a name that is an alias and that accounts list, too,
stands for its target alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from shared_accounts.extensions import db
from shared_accounts.users.roster import Caller

_MODELS = """
with served as (
    select model, extract(epoch from min(created_at))::bigint as created
    from accounts, unnest(models) as model
    where state = 'active' and (owner_id = :user_id or (sharing = 'shared' and not :only_dedicated))
    group by model)
select model, created from served
where not exists (select from model_rules where model_rules.model = served.model and alias_of is not null)
union all
select model_rules.model, created from served join model_rules on alias_of = served.model
order by model
"""

_KNOWN = """
with served as (
    select model, count(*) as accounts from accounts, unnest(models) as model
    where state not in ('draining', 'withdrawn') group by model),
named as (select model from model_rules union select model from served)
select named.model, coalesce(accounts, 0) as accounts
from named left join model_rules on model_rules.model = named.model
    left join served on served.model = coalesce(alias_of, named.model)
"""
_FOUND = f"{_KNOWN} where position(lower(:part) in lower(named.model)) > 0"


@dataclass(frozen=True, slots=True)
class Model:
    """A model's name, and since when (Unix seconds) an account serves it."""

    name: str
    created: int


@dataclass(frozen=True, slots=True)
class Known:
    """A model that accounts serve or that a rule names, and how many accounts serve it, or what it is an alias of."""

    model: str
    accounts: int


def models_for(caller: Caller) -> list[Model]:
    """Return the models that some account in service would answer for this caller, by name."""
    given = {"user_id": caller.user_id, "only_dedicated": caller.use_only_dedicated}
    return [Model(row.model, row.created) for row in db.session.execute(text(_MODELS), given)]


def find(part: str, *, first: int, most: int) -> list[Known]:
    """Return the models in whose name this occurs, in any spelling of case, by name: so many from the first on."""
    given = {"part": part, "first": first, "most": most}
    query = text(f"{_FOUND} order by named.model offset :first limit :most")
    return [Known(*row) for row in db.session.execute(query, given)]


def count(part: str) -> int:
    """Return how many models there are in whose name this occurs."""
    return db.session.scalar(text(f"select count(*) from ({_FOUND}) found"), {"part": part}) or 0


def get(model: str) -> Known | None:
    """Return a model by its name, nothing if nobody serves it and no rule names it."""
    row = db.session.execute(text(f"{_KNOWN} where named.model = :model"), {"model": model}).one_or_none()
    return Known(*row) if row else None
