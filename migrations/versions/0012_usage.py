"""The usage log's hourly sums; which program asked; and ways to the newest lines of everybody and of a contributor."""

from alembic import op

revision = "0012"
down_revision = "0011"

_MEASURES = """
    calls bigint not null,
    timed bigint not null,
    measured bigint not null,
    estimated bigint not null,
    partial bigint not null,
    released bigint not null,
    prompt_tokens bigint not null,
    completion_tokens bigint not null,
    cached_tokens bigint not null,
    cost bigint not null,
    charged bigint not null,
    total_ms bigint not null"""


def upgrade() -> None:
    op.execute(f"""
        alter table usage_log add column client_app text;
        create index usage_log_opened_at_idx on usage_log (opened_at);
        create index usage_log_contributor_id_idx on usage_log (contributor_id, opened_at)
            where user_id <> contributor_id;

        create table usage_hours (
            hour timestamptz not null,
            user_id bigint not null,
            api_key_id bigint not null,
            account_id bigint not null,
            contributor_id bigint not null,
            model text not null,
            endpoint text not null,
            client_app text not null,
            outcome text not null,
            {_MEASURES},
            constraint usage_hours_pkey primary key (
                hour, user_id, api_key_id, account_id, contributor_id, model, endpoint, client_app, outcome));
        create index usage_hours_user_id_idx on usage_hours (user_id, hour);
        create index usage_hours_account_id_idx on usage_hours (account_id, hour);
        create index usage_hours_contributor_id_idx on usage_hours (contributor_id, hour)
            where user_id <> contributor_id;

        create table usage_totals (
            hour timestamptz not null,
            own boolean not null,
            model text not null,
            endpoint text not null,
            client_app text not null,
            outcome text not null,
            {_MEASURES},
            constraint usage_totals_pkey primary key (hour, own, model, endpoint, client_app, outcome));
    """)


def downgrade() -> None:
    op.execute("""
        drop table usage_totals, usage_hours;
        drop index usage_log_contributor_id_idx, usage_log_opened_at_idx;
        alter table usage_log drop column client_app;
    """)
