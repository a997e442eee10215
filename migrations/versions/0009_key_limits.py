"""Limits of a key: models, addresses, pace, slots and budgets; a former secret for a while; when it was last used."""

from alembic import op

revision = "0009"
down_revision = "0008"

_BUDGETED = "num_nonnulls(budget_total, budget_five_hours, budget_day, budget_week, budget_month) > 0"
_HAS_SLOT = """
    create or replace function has_slot(about text, subject bigint, most bigint, self uuid) returns boolean
    language plpgsql volatile as $$
        declare busy bigint;
        begin
            perform pg_advisory_xact_lock(hashtextextended(about, subject));
            if about = 'user' then
                select count(*) into busy from usage_log
                    where user_id = subject and state = 'open' and id <> self;{key}
            else
                select count(*) into busy from usage_log
                    where account_id = subject and state = 'open' and id <> self;
            end if;
            return busy < most;
        end $$;"""
# A user has few open lines, a key may have millions of closed ones: not by the index on keys, hence the coalesce.
_OPEN_LINES_OF_KEY = """
    from usage_log
    where user_id = (select user_id from api_keys where id = subject) and coalesce(api_key_id, 0) = subject
        and state = 'open' and id <> self"""
_KEY_SLOT = f"""
            elsif about = 'key' then
                select count(*) into busy {_OPEN_LINES_OF_KEY};"""


def _since(span: str) -> str:
    return f"date_trunc('hour', now() - interval '{span}', 'UTC')"


def upgrade() -> None:
    op.execute(f"""
        alter table api_keys
            add column last_used_at timestamptz,
            add column former_fingerprint bytea,
            add column former_until timestamptz,
            add column revision bigint not null default 0,
            add column models text[] not null default '{{}}',
            add column addresses text[] not null default '{{}}',
            add column requests_per_minute bigint,
            add column tokens_per_minute bigint,
            add column max_concurrent bigint,
            add column budget_total bigint,
            add column budget_five_hours bigint,
            add column budget_day bigint,
            add column budget_week bigint,
            add column budget_month bigint,
            add constraint api_keys_limits_check check (
                requests_per_minute > 0 and tokens_per_minute > 0 and max_concurrent > 0 and budget_total > 0
                and budget_five_hours > 0 and budget_day > 0 and budget_week > 0 and budget_month > 0),
            add constraint api_keys_former_check check ((former_fingerprint is null) = (former_until is null));
        create unique index api_keys_former_fingerprint_key on api_keys (former_fingerprint)
            where former_fingerprint is not null;
        update api_keys set last_used_at = (select max(opened_at) from usage_log where api_key_id = api_keys.id);

        create table api_key_spend (
            api_key_id bigint not null,
            hour timestamptz not null,
            cost bigint not null,
            constraint api_key_spend_pkey primary key (api_key_id, hour));

        create function count_key_spend() returns trigger language plpgsql as $$
            begin
                insert into api_key_spend (api_key_id, hour, cost)
                select id, hour, new.cost
                from api_keys, unnest(array[date_trunc('hour', new.closed_at, 'UTC'), '-infinity']) as hour
                where id = new.api_key_id and {_BUDGETED}
                on conflict (api_key_id, hour) do update set cost = api_key_spend.cost + excluded.cost;
                return null;
            end $$;
        create trigger usage_log_spent after update of state on usage_log for each row
            when (old.state = 'open' and new.state = 'closed' and new.api_key_id is not null and new.cost > 0)
            execute function count_key_spend();

        create function key_budgets(subject bigint, self uuid)
        returns table (budget text, most bigint, since timestamptz, spent bigint, held bigint)
        language sql stable as $$
            select budgets.name, budgets.most, budgets.since,
                (select coalesce(sum(cost), 0)::bigint from api_key_spend
                    where api_key_id = subject and hour >= budgets.since and hour <= budgets.until),
                (select coalesce(sum(estimate), 0)::bigint {_OPEN_LINES_OF_KEY})
            from api_keys, lateral (values
                ('total', budget_total, timestamptz '-infinity', timestamptz '-infinity'),
                ('five_hours', budget_five_hours, {_since("5 hours")}, 'infinity'),
                ('day', budget_day, {_since("24 hours")}, 'infinity'),
                ('week', budget_week, {_since("168 hours")}, 'infinity'),
                ('month', budget_month, {_since("720 hours")}, 'infinity')) as budgets (name, most, since, until)
            where api_keys.id = subject and budgets.most is not null $$;

        create function over_budget(subject bigint, wanted bigint, self uuid) returns boolean
        language plpgsql volatile as $$
            begin
                perform pg_advisory_xact_lock(hashtextextended('key', subject));
                return exists (select from key_budgets(subject, self) where spent + held + wanted > most);
            end $$;

        {_HAS_SLOT.format(key=_KEY_SLOT)}
    """)


def downgrade() -> None:
    op.execute(f"""
        {_HAS_SLOT.format(key="")}
        drop function over_budget(bigint, bigint, uuid);
        drop function key_budgets(bigint, uuid);
        drop trigger usage_log_spent on usage_log;
        drop function count_key_spend();
        drop table api_key_spend;
        alter table api_keys
            drop constraint api_keys_former_check, drop constraint api_keys_limits_check,
            drop column budget_month, drop column budget_week, drop column budget_day, drop column budget_five_hours,
            drop column budget_total, drop column max_concurrent, drop column tokens_per_minute,
            drop column requests_per_minute, drop column addresses, drop column models, drop column revision,
            drop column former_until, drop column former_fingerprint, drop column last_used_at;
    """)
