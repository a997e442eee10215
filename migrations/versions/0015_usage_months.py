"""The usage log by months, so that old ones go as a whole: an id begins with its time, so a month is a range of ids.

What was there becomes the partition of this month and of all before it, where it lies: no row is copied, however many
there are. Ids beyond the month, which are none of ours, move to the default partition. What counts open lines looks
at those a day around now, so that it need not look into every month.
"""

from alembic import op

revision = "0015"
down_revision = "0014"

_SPENT = """
    create trigger usage_log_spent after update of state on usage_log for each row
        when (old.state = 'open' and new.state = 'closed' and new.api_key_id is not null and new.cost > 0)
        execute function count_key_spend();"""
_ANY_OPEN = "id <> self"
_NEAR_OPEN = """id <> self
            and id >= first_usage_id(now() - interval '1 day') and id < first_usage_id(now() + interval '1 day')"""


def _rewrite(before: str, after: str) -> str:
    return "".join(
        f"execute replace(pg_get_functiondef('{function}'::regproc), $find${before}$find$, $put${after}$put$);\n"
        for function in ("has_slot", "key_budgets")
    )


def upgrade() -> None:
    op.execute(f"""
        create function first_usage_id(moment timestamptz) returns uuid language sql immutable parallel safe as $$
            select (lpad(to_hex(floor(extract(epoch from moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
        $$;
        create function usage_kept_since() returns timestamptz language sql stable as $$
            select case when pg_get_expr(relpartbound, part.oid) not like '%(MINVALUE)%'
                then to_date(right(relname, 7), 'YYYY_MM')::timestamp at time zone 'UTC' end
            from pg_inherits join pg_class part on part.oid = inhrelid
            where inhparent = 'usage_log'::regclass and relname ~ '^usage_log_\\d{{4}}_\\d\\d$'
            order by relname limit 1
        $$;

        do $do$
        declare
            month timestamptz := date_trunc('month', now(), 'UTC');
            known text := to_char(month at time zone 'UTC', '"usage_log_"YYYY"_"MM');
            definitions text[] := array(select indexdef from pg_indexes
                where schemaname = current_schema and tablename = 'usage_log' and indexname <> 'usage_log_pkey');
            one text;
            start timestamptz;
        begin
            drop trigger usage_log_spent on usage_log;
            for one in select indexname from pg_indexes
                where schemaname = current_schema and tablename = 'usage_log' loop
                execute format('alter index %I rename to %I', one, replace(one, 'usage_log', known));
            end loop;
            execute format('alter table usage_log rename to %I', known);

            execute format('create table usage_log (like %I including defaults including constraints,
                constraint usage_log_pkey primary key (id)) partition by range (id)', known);
            foreach one in array definitions loop
                execute one;
            end loop;
            {_SPENT}

            create table usage_log_default partition of usage_log default with (fillfactor = 80);
            start := month + interval '1 month';
            execute format('with beyond as (delete from %I where id >= %L returning *)
                insert into usage_log_default select * from beyond', known, first_usage_id(start));
            execute format('alter table usage_log attach partition %I for values from (minvalue) to (%L)',
                known, first_usage_id(start));
            for ahead in 1..2 loop
                execute format(
                    'create table %I partition of usage_log for values from (%L) to (%L) with (fillfactor = 80)',
                    to_char(start at time zone 'UTC', '"usage_log_"YYYY"_"MM'),
                    first_usage_id(start), first_usage_id(start + interval '1 month'));
                start := start + interval '1 month';
            end loop;

            {_rewrite(_ANY_OPEN, _NEAR_OPEN)}
        end $do$;
    """)


def downgrade() -> None:
    op.execute(f"""
        do $do$
        declare
            definitions text[] := array(select replace(indexdef, ' ON ONLY ', ' ON ') from pg_indexes
                where schemaname = current_schema and tablename = 'usage_log' and indexname <> 'usage_log_pkey');
            one text;
        begin
            alter table usage_log rename to usage_log_by_month;
            create table usage_log (like usage_log_by_month including defaults including constraints)
                with (fillfactor = 80);
            insert into usage_log select * from usage_log_by_month;
            drop table usage_log_by_month;
            alter table usage_log add constraint usage_log_pkey primary key (id);
            foreach one in array definitions loop
                execute one;
            end loop;
            {_SPENT}

            {_rewrite(_NEAR_OPEN, _ANY_OPEN)}
        end $do$;
        drop function usage_kept_since();
        drop function first_usage_id(timestamptz);
    """)
