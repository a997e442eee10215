"""Contributed upstream accounts."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("""
        create table accounts (
            id bigint generated always as identity,
            owner_id bigint not null,
            name text not null,
            base_url text not null,
            sealed_credential bytea,
            fingerprint bytea not null,
            sharing text not null,
            state text not null default 'active',
            state_reason text,
            cooling_until timestamptz,
            strikes bigint not null default 0,
            models text[] not null,
            allowance_tokens bigint not null,
            window_hours bigint not null,
            max_concurrency bigint,
            created_at timestamptz not null default now(),
            constraint accounts_pkey primary key (id),
            constraint accounts_owner_id_fkey foreign key (owner_id) references users (id),
            constraint accounts_sharing_check check (sharing in ('dedicated', 'shared')),
            constraint accounts_state_check check (
                state in ('active', 'needs_sign_in', 'broken', 'paused', 'disabled', 'withdrawn')),
            constraint accounts_allowance_check check (allowance_tokens > 0 and window_hours > 0),
            constraint accounts_max_concurrency_check check (max_concurrency is null or max_concurrency > 0),
            constraint accounts_credential_check check ((state = 'withdrawn') = (sealed_credential is null)));
        create unique index accounts_fingerprint_key on accounts (fingerprint) where state <> 'withdrawn';
        create index accounts_owner_id_idx on accounts (owner_id);
        create index accounts_models_idx on accounts using gin (models) where state = 'active';
    """)


def downgrade() -> None:
    op.execute("drop table accounts")
