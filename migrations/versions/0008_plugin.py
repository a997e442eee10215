"""The Plug-in API: who has a user there, how far that has come, and which models an owner has switched off."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.execute("""
        create table plugin_users (
            user_id bigint not null,
            name text not null,
            state text not null default 'pending',
            problem text,
            attempts bigint not null default 0,
            next_attempt_at timestamptz not null default now(),
            claim uuid,
            claimed_until timestamptz,
            sealed_counterpart bytea,
            account_id bigint,
            created_at timestamptz not null default now(),
            updated_at timestamptz not null default now(),
            constraint plugin_users_pkey primary key (user_id),
            constraint plugin_users_user_id_fkey foreign key (user_id) references users (id) on delete cascade,
            constraint plugin_users_account_id_fkey foreign key (account_id) references accounts (id),
            constraint plugin_users_state_check check (state in ('pending', 'ready')),
            constraint plugin_users_counterpart_check check ((state = 'ready') <= (sealed_counterpart is not null)));
        create unique index plugin_users_name_key on plugin_users (name);
        create index plugin_users_due_idx on plugin_users (next_attempt_at);

        alter table accounts add column models_off text[] not null default '{}';
    """)


def downgrade() -> None:
    op.execute("""
        alter table accounts drop column models_off;
        drop table plugin_users;
    """)
