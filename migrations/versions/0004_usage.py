"""The usage log: a line per exchange. It outlives what it names, so it refers to nothing."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("""
        create table usage_log (
            id uuid not null,
            user_id bigint not null,
            api_key_id bigint,
            account_id bigint not null,
            contributor_id bigint not null,
            model text not null,
            model_group text not null,
            endpoint text not null,
            stream boolean not null,
            worker text not null,
            state text not null default 'open',
            outcome text,
            basis text,
            http_status bigint,
            error_code text,
            estimate bigint not null,
            cost bigint not null default 0,
            charged bigint not null default 0,
            prompt_tokens bigint,
            completion_tokens bigint,
            cached_tokens bigint,
            attempts jsonb not null default '[]',
            first_byte_ms bigint,
            total_ms bigint,
            opened_at timestamptz not null default now(),
            closed_at timestamptz,
            lease_until timestamptz not null,
            constraint usage_log_pkey primary key (id),
            constraint usage_log_state_check check (state in ('open', 'closed')),
            constraint usage_log_outcome_check check (outcome in (
                'served', 'broken', 'timed_out', 'client_left', 'interrupted', 'failed', 'abandoned')),
            constraint usage_log_basis_check check (basis in ('measured', 'estimated', 'partial', 'released')),
            constraint usage_log_closed_check check (
                (state = 'closed') = (outcome is not null and basis is not null))
        ) with (fillfactor = 80);
        create index usage_log_user_id_idx on usage_log (user_id, opened_at);
        create index usage_log_account_id_idx on usage_log (account_id, opened_at);
        create index usage_log_api_key_id_idx on usage_log (api_key_id, opened_at) where api_key_id is not null;
        create index usage_log_open_idx on usage_log (account_id) where state = 'open';
    """)


def downgrade() -> None:
    op.execute("drop table usage_log")
