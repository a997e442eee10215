"""The usage log's sums by day, beside those by hour; and a way to the hours of a key."""

from alembic import op

revision = "0017"
down_revision = "0016"

_PEOPLE = "user_id, api_key_id, account_id, contributor_id, model, endpoint, client_app, outcome, currency"
_TOTALS = "own, model, endpoint, client_app, outcome, currency"
_MEASURES = (
    "calls", "timed", "measured", "estimated", "partial", "released", "prompt_tokens", "completion_tokens",
    "cached_tokens", "cost", "charged", "total_ms", "unpriced", "money",
)  # fmt: skip


def _days(table: str, hours: str, alike: str) -> str:
    """Make a table of days like one of hours, and add up the days that are before the latest hour's."""
    return f"""
        create table {table} (like {hours} including constraints);
        alter table {table} rename column hour to day;
        alter table {table} add constraint {table}_pkey primary key (day, {alike});
        insert into {table} (day, {alike}, {", ".join(_MEASURES)})
            select date_trunc('day', hour, 'UTC'), {alike}, {", ".join(f"sum({name})" for name in _MEASURES)}
            from {hours} where hour < (select date_trunc('day', max(hour), 'UTC') from {hours})
            group by date_trunc('day', hour, 'UTC'), {alike};"""


def upgrade() -> None:
    op.execute(f"""
        {_days("usage_days", "usage_hours", _PEOPLE)}
        {_days("usage_day_totals", "usage_totals", _TOTALS)}
        create index usage_hours_api_key_id_idx on usage_hours (api_key_id, hour) where api_key_id <> 0;
        create index usage_days_user_id_idx on usage_days (user_id, day);
        create index usage_days_account_id_idx on usage_days (account_id, day);
        create index usage_days_contributor_id_idx on usage_days (contributor_id, day) where user_id <> contributor_id;
        create index usage_days_api_key_id_idx on usage_days (api_key_id, day) where api_key_id <> 0;
    """)


def downgrade() -> None:
    op.execute("""
        drop table usage_day_totals, usage_days;
        drop index usage_hours_api_key_id_idx;
    """)
