"""Signing in, finished: rotating sessions, identities, second factors, invitations, limits by trust, the audit log."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute(_SESSIONS)
    op.execute(_WAYS_IN)
    op.execute(_INVITATIONS)
    op.execute(_LIMITS)
    op.execute(_AUDIT)


def downgrade() -> None:
    op.execute("""
        drop table audit_log, runtime_settings, trust_levels, tickets, recovery_codes, second_factors, identities;
        drop function refuse_to_forget();
        drop index usage_log_busy_idx;
        alter table users drop column state_by_hand, drop column trust_by_hand, drop column invitation_id;
        drop table invitations;
        alter table sessions drop column generation, drop column rotated_at, drop column last_seen_at,
            drop column authenticated_at, drop column method, drop column second_factor, drop column ended_because;
    """)


_SESSIONS = """
    alter table sessions
        add column generation bigint not null default 0,
        add column rotated_at timestamptz,
        add column last_seen_at timestamptz not null default now(),
        add column authenticated_at timestamptz not null default now(),
        add column method text not null default 'password',
        add column second_factor boolean not null default false,
        add column ended_because text;
"""

_WAYS_IN = """
    create table identities (
        id bigint generated always as identity,
        user_id bigint not null,
        provider text not null,
        subject text not null,
        name text,
        created_at timestamptz not null default now(),
        last_used_at timestamptz,
        constraint identities_pkey primary key (id),
        constraint identities_user_id_fkey foreign key (user_id) references users (id) on delete cascade);
    create unique index identities_provider_subject_key on identities (provider, subject);
    create index identities_user_id_idx on identities (user_id);

    create table second_factors (
        user_id bigint not null,
        sealed_secret bytea not null,
        confirmed_at timestamptz,
        last_step bigint not null default 0,
        constraint second_factors_pkey primary key (user_id),
        constraint second_factors_user_id_fkey foreign key (user_id) references users (id) on delete cascade);

    create table recovery_codes (
        id bigint generated always as identity,
        user_id bigint not null,
        fingerprint bytea not null,
        constraint recovery_codes_pkey primary key (id),
        constraint recovery_codes_user_id_fkey foreign key (user_id) references users (id) on delete cascade);
    create unique index recovery_codes_user_id_fingerprint_key on recovery_codes (user_id, fingerprint);

    create table tickets (
        fingerprint bytea not null,
        kind text not null,
        sealed bytea not null,
        expires_at timestamptz not null,
        constraint tickets_pkey primary key (fingerprint));
    create index tickets_expires_at_idx on tickets (expires_at);
"""

_INVITATIONS = """
    create table invitations (
        id bigint generated always as identity,
        fingerprint bytea not null,
        preview text not null,
        note text,
        created_by bigint,
        created_at timestamptz not null default now(),
        expires_at timestamptz,
        max_uses bigint not null,
        uses bigint not null default 0,
        revoked_at timestamptz,
        constraint invitations_pkey primary key (id),
        constraint invitations_uses_check check (uses between 0 and max_uses));
    create unique index invitations_fingerprint_key on invitations (fingerprint);

    alter table users
        add column state_by_hand boolean not null default false,
        add column trust_by_hand boolean not null default false,
        add column invitation_id bigint,
        add constraint users_invitation_id_fkey foreign key (invitation_id) references invitations (id)
            on delete set null;
"""

_LIMITS = """
    create table trust_levels (
        level bigint not null,
        may_share boolean not null default true,
        max_keys bigint not null default 50,
        requests_per_minute bigint,
        max_concurrent bigint,
        constraint trust_levels_pkey primary key (level),
        constraint trust_levels_level_check check (level between 0 and 4),
        constraint trust_levels_limits_check check (
            max_keys >= 0 and requests_per_minute > 0 and max_concurrent > 0));
    insert into trust_levels (level) select generate_series(0, 4);
    create index usage_log_busy_idx on usage_log (user_id) where state = 'open';

    create table runtime_settings (
        name text not null,
        value text not null,
        changed_at timestamptz not null default now(),
        constraint runtime_settings_pkey primary key (name));
"""

_AUDIT = """
    create table audit_log (
        id bigint generated always as identity,
        at timestamptz not null default now(),
        act text not null,
        actor_id bigint,
        user_id bigint,
        target text,
        address text,
        request_id text,
        details jsonb not null default '{}',
        constraint audit_log_pkey primary key (id));
    create index audit_log_user_id_idx on audit_log (user_id, id);
    create index audit_log_actor_id_idx on audit_log (actor_id, id);

    create function refuse_to_forget() returns trigger language plpgsql as $$
        begin raise exception 'the audit log is append-only'; end $$;
    create trigger audit_log_append_only before update or delete or truncate on audit_log
        for each statement execute function refuse_to_forget();
"""
