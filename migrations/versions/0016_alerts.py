"""Alerts, what is to be sent of them and who wants what sent where; how often in a row a task has failed."""

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.execute("""
        create table alerts (
            id bigint generated always as identity,
            kind text not null,
            user_id bigint,
            subject text not null,
            episode bigint not null,
            details jsonb not null default '{}',
            raised_at timestamptz not null default now(),
            over_at timestamptz,
            read_at timestamptz,
            constraint alerts_pkey primary key (id),
            constraint alerts_kind_check check (kind in ('quota_low', 'account_needs_sign_in', 'account_broken',
                'credential_expiring', 'key_expiring', 'test', 'ledger_broken', 'job_failing')),
            constraint alerts_user_check check ((user_id is null) = (kind in ('ledger_broken', 'job_failing'))));
        create unique index alerts_kind_subject_episode_key on alerts (kind, subject, episode);
        create index alerts_user_id_idx on alerts (user_id, id);
        create index alerts_under_way_idx on alerts (kind, subject) where over_at is null;

        create table alert_deliveries (
            alert_id bigint not null,
            channel text not null,
            state text not null default 'due',
            attempts bigint not null default 0,
            due_at timestamptz not null default now(),
            finished_at timestamptz,
            problem text,
            constraint alert_deliveries_pkey primary key (alert_id, channel),
            constraint alert_deliveries_alert_id_fkey foreign key (alert_id) references alerts (id) on delete cascade,
            constraint alert_deliveries_channel_check check (channel in ('email', 'webhook')),
            constraint alert_deliveries_state_check check (state in ('due', 'sent', 'given_up')));
        create index alert_deliveries_due_at_idx on alert_deliveries (due_at) where state = 'due';

        create table alert_preferences (
            user_id bigint not null,
            email text,
            webhook_url text,
            sealed_secret bytea,
            by_email text[] not null,
            by_webhook text[] not null,
            constraint alert_preferences_pkey primary key (user_id),
            constraint alert_preferences_user_id_fkey foreign key (user_id) references users (id) on delete cascade,
            constraint alert_preferences_webhook_check check ((webhook_url is null) = (sealed_secret is null)));

        alter table job_runs add column failed_in_a_row bigint not null default 0;
    """)


def downgrade() -> None:
    op.execute("""
        alter table job_runs drop column failed_in_a_row;
        drop table alert_preferences, alert_deliveries, alerts;
    """)
