"""People, their sessions and their keys."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
        create table users (
            id bigint generated always as identity,
            username text not null,
            password_hash text,
            avatar_url text,
            role text not null default 'user',
            state text not null default 'active',
            trust_level bigint not null default 0,
            prefer_shared boolean not null default false,
            use_only_dedicated boolean not null default false,
            created_at timestamptz not null default now(),
            last_login_at timestamptz,
            constraint users_pkey primary key (id),
            constraint users_state_check check (state in ('active', 'silenced', 'disabled')),
            constraint users_role_check check (role in ('user', 'admin')),
            constraint users_trust_level_check check (trust_level between 0 and 4));
        create unique index users_username_lower_key on users (lower(username));

        create table sessions (
            id uuid not null,
            user_id bigint not null,
            created_at timestamptz not null default now(),
            expires_at timestamptz not null,
            revoked_at timestamptz,
            user_agent text,
            address text,
            constraint sessions_pkey primary key (id),
            constraint sessions_user_id_fkey foreign key (user_id) references users (id) on delete cascade);
        create index sessions_user_id_idx on sessions (user_id);

        create table api_keys (
            id bigint generated always as identity,
            user_id bigint not null,
            fingerprint bytea not null,
            preview text not null,
            name text not null,
            description text,
            is_active boolean not null default true,
            created_at timestamptz not null default now(),
            expires_at timestamptz,
            constraint api_keys_pkey primary key (id),
            constraint api_keys_user_id_fkey foreign key (user_id) references users (id) on delete cascade);
        create unique index api_keys_fingerprint_key on api_keys (fingerprint);
        create index api_keys_user_id_idx on api_keys (user_id);
    """)


def downgrade() -> None:
    op.execute("drop table api_keys, sessions, users")
