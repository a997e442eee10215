"""What exchanges consumed, counted where choosing an account has to know it: windows, and who used what today.

The usage log is the truth; these counts are a moment behind it. Each worker adds up what its exchanges consumed and
writes it several times a second, all of it in one statement: an exchange that wrote its own would hold the row of a
popular account until its commit is on disk, and everybody's exchanges would queue for it. `recount` mends, from the
log, what a worker that died had not written yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import text

from shared_accounts.extensions import db, statements

# The order is the same for every writer, or two of them could wait for each other.
statements.register(
    "tally_use",
    ("bigint[]", "text[]", "bigint[]", "bigint[]", "bigint[]", "bigint[]"),
    """
    with quick as materialized (select set_config('synchronous_commit', 'off', true)),
    done as materialized (
        select given.* from quick, unnest($1, $2, $3, $4, $5, $6)
            as given (account_id, model_group, user_id, calls, tokens, cost)),
    windows as (
        insert into account_windows as known (account_id, model_group, used, resets_at)
        select account_id, model_group, sum(cost), now() + min(window_hours) * interval '1 hour'
        from done join accounts on accounts.id = account_id
        group by account_id, model_group having sum(cost) > 0 order by account_id, model_group
        on conflict (account_id, model_group) do update set
            used = case when known.resets_at > now() then known.used else 0 end + excluded.used,
            resets_at = case when known.resets_at > now() then known.resets_at else excluded.resets_at end)
    insert into account_use as known (account_id, day, user_id, calls, tokens, cost)
    select account_id, (now() at time zone 'UTC')::date, user_id, sum(calls), sum(tokens), sum(cost)
    from done group by account_id, user_id order by account_id, user_id
    on conflict (account_id, day, user_id) do update set calls = known.calls + excluded.calls,
        tokens = known.tokens + excluded.tokens, cost = known.cost + excluded.cost, last_at = now()""",
)


@dataclass(slots=True)
class Tally:
    """What this worker's exchanges consumed and has not been written yet."""

    _sums: dict[tuple[int, str, int], list[int]] = field(default_factory=dict)

    def add(self, account_id: int, model_group: str, user_id: int, *, tokens: int, cost: int) -> None:
        """Count one exchange."""
        sums = self._sums.setdefault((account_id, model_group, user_id), [0, 0, 0])
        sums[0] += 1
        sums[1] += tokens
        sums[2] += cost

    def write(self) -> None:
        """Write what there is; raises `DatabaseUnavailable` and keeps it for the next time."""
        if not self._sums:
            return
        taken, self._sums = self._sums, {}
        rows = [(*key, *sums) for key, sums in taken.items()]
        try:
            statements.rows("tally_use", *map(list, zip(*rows, strict=True)))
        except BaseException:
            for (account_id, model_group, user_id), (calls, tokens, cost) in taken.items():
                sums = self._sums.setdefault((account_id, model_group, user_id), [0, 0, 0])
                sums[0], sums[1], sums[2] = sums[0] + calls, sums[1] + tokens, sums[2] + cost
            raise


_RECOUNT = """
with spent as (
    select known.account_id, known.model_group, coalesce(sum(line.cost), 0) as used
    from account_windows known join accounts on accounts.id = known.account_id
        left join usage_log line on line.account_id = known.account_id and line.model_group = known.model_group
            and line.opened_at > known.resets_at - window_hours * interval '1 hour' - interval '1 day'
            and line.closed_at > known.resets_at - window_hours * interval '1 hour' - interval '2 seconds'
    where known.resets_at > now() and not exists (select from usage_log recent
        where recent.account_id = known.account_id and recent.opened_at > now() - interval '1 day'
          and recent.id >= first_usage_id(now() - interval '2 days')
          and (recent.state = 'open' or recent.closed_at > now() - interval '10 seconds'))
    group by known.account_id, known.model_group)
update account_windows known set used = spent.used from spent
where known.account_id = spent.account_id and known.model_group = spent.model_group and known.used <> spent.used"""


def recount() -> int:
    """Set the windows of accounts that rest for a moment to what the log says; returns how many were wrong."""
    return int(db.session.execute(text(_RECOUNT)).rowcount)  # type: ignore[attr-defined]
