"""The pool: the life of an account, its windows, owners' limits, slots, accounts by OAuth, model rules, gifts."""

from alembic import op

revision = "0006"
down_revision = "0005"

_STATES = "'active', 'needs_sign_in', 'broken', 'paused', 'disabled', 'draining', 'withdrawn'"
_STATES_BEFORE = "'active', 'needs_sign_in', 'broken', 'paused', 'disabled', 'withdrawn'"
_KINDS = "'credit', 'forfeit', 'refill', 'spend', 'correction', 'gift'"
_KINDS_BEFORE = "'credit', 'forfeit', 'refill', 'spend', 'correction'"
_OUTCOMES = "'served', 'broken', 'timed_out', 'client_left', 'interrupted', 'outgrown', 'failed', 'abandoned'"
_OUTCOMES_BEFORE = "'served', 'broken', 'timed_out', 'client_left', 'interrupted', 'failed', 'abandoned'"


def upgrade() -> None:
    op.execute(f"""
        alter table accounts
            drop constraint accounts_state_check,
            add constraint accounts_state_check check (state in ({_STATES})),
            add column preset text,
            add column oauth_provider text,
            add column sealed_refresh_token bytea,
            add column credential_expires_at timestamptz,
            add column probed_at timestamptz,
            add column others_per_day bigint,
            add column member_per_day bigint,
            add column owner_reserve double precision not null default 0,
            add column quiet_from bigint,
            add column quiet_until bigint,
            add constraint accounts_limits_check check (
                others_per_day >= 0 and member_per_day >= 0 and owner_reserve between 0 and 1
                and quiet_from between 0 and 1439 and quiet_until between 0 and 1439
                and (quiet_from is null) = (quiet_until is null));
        create index accounts_expiring_idx on accounts (credential_expires_at) where sealed_refresh_token is not null;
        create index accounts_resting_idx on accounts (state)
            where state in ('needs_sign_in', 'broken', 'draining');

        create table account_events (
            id bigint generated always as identity,
            account_id bigint not null,
            at timestamptz not null default now(),
            from_state text,
            to_state text not null,
            reason text,
            until timestamptz,
            actor_id bigint,
            exchange_id uuid,
            request_id text,
            constraint account_events_pkey primary key (id));
        create index account_events_account_id_idx on account_events (account_id, id);

        create table account_windows (
            account_id bigint not null,
            model_group text not null,
            used bigint not null default 0,
            resets_at timestamptz not null,
            exhausted_until timestamptz,
            constraint account_windows_pkey primary key (account_id, model_group)) with (fillfactor = 70);

        create table account_use (
            account_id bigint not null,
            day date not null,
            user_id bigint not null,
            calls bigint not null default 0,
            tokens bigint not null default 0,
            cost bigint not null default 0,
            last_at timestamptz not null default now(),
            constraint account_use_pkey primary key (account_id, day, user_id)) with (fillfactor = 70);

        create table model_rules (
            model text not null,
            alias_of text,
            model_group text,
            reference_tokens bigint,
            prompt_weight bigint not null default 1000,
            completion_weight bigint not null default 4000,
            cached_weight bigint not null default 100,
            constraint model_rules_pkey primary key (model),
            constraint model_rules_weights_check check (
                prompt_weight >= 0 and completion_weight >= 0 and cached_weight >= 0 and reference_tokens > 0),
            constraint model_rules_alias_check check (alias_of <> model));

        alter table usage_log
            drop constraint usage_log_outcome_check,
            add constraint usage_log_outcome_check check (outcome in ({_OUTCOMES})),
            add column passed_over jsonb not null default '[]',
            add column flag text;

        alter table ledger_entries
            drop constraint ledger_entries_kind_check,
            add constraint ledger_entries_kind_check check (kind in ({_KINDS})),
            add column actor_id bigint,
            add column counterpart_id bigint;

        create function has_slot(about text, subject bigint, most bigint, self uuid) returns boolean
        language plpgsql volatile as $$
            declare busy bigint;
            begin
                perform pg_advisory_xact_lock(hashtextextended(about, subject));
                if about = 'user' then
                    select count(*) into busy from usage_log
                        where user_id = subject and state = 'open' and id <> self;
                else
                    select count(*) into busy from usage_log
                        where account_id = subject and state = 'open' and id <> self;
                end if;
                return busy < most;
            end $$;
    """)


def downgrade() -> None:
    op.execute(f"""
        drop function has_slot(text, bigint, bigint, uuid);
        delete from ledger_entries where kind = 'gift';
        alter table ledger_entries
            drop column counterpart_id, drop column actor_id,
            drop constraint ledger_entries_kind_check,
            add constraint ledger_entries_kind_check check (kind in ({_KINDS_BEFORE}));
        update usage_log set outcome = 'interrupted' where outcome = 'outgrown';
        alter table usage_log
            drop constraint usage_log_outcome_check,
            add constraint usage_log_outcome_check check (outcome in ({_OUTCOMES_BEFORE})),
            drop column flag, drop column passed_over;
        drop table model_rules, account_use, account_windows, account_events;
        drop index accounts_resting_idx, accounts_expiring_idx;
        update accounts set state = 'withdrawn', sealed_credential = null where state = 'draining';
        alter table accounts
            drop constraint accounts_limits_check,
            drop column quiet_until, drop column quiet_from, drop column owner_reserve, drop column member_per_day,
            drop column others_per_day, drop column probed_at, drop column credential_expires_at,
            drop column sealed_refresh_token, drop column oauth_provider, drop column preset,
            drop constraint accounts_state_check,
            add constraint accounts_state_check check (state in ({_STATES_BEFORE}));
    """)
