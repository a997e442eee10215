"""Quota pools, reservations, the ledger and what each account has credited.

Rows that are updated on every call leave room on their page (fillfactor), so that PostgreSQL can keep the new
version beside the old one without touching an index.
"""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("""
        create table quota_pools (
            id bigint generated always as identity,
            user_id bigint not null,
            model_group text not null,
            balance bigint not null default 0,
            reserved bigint not null default 0,
            capacity bigint not null default 0,
            refill_per_hour bigint not null default 0,
            owed bigint not null default 0,
            refilled_through timestamptz not null default date_trunc('hour', now(), 'UTC'),
            constraint quota_pools_pkey primary key (id),
            constraint quota_pools_user_id_fkey foreign key (user_id) references users (id),
            constraint quota_pools_balance_check check (balance >= 0 and reserved >= 0 and reserved <= balance),
            constraint quota_pools_terms_check check (capacity >= 0 and refill_per_hour >= 0 and owed >= 0)
        ) with (fillfactor = 50);
        create unique index quota_pools_user_id_model_group_key on quota_pools (user_id, model_group);

        create table reservations (
            id uuid not null,
            pool_id bigint not null,
            amount bigint not null,
            state text not null default 'open',
            constraint reservations_pkey primary key (id),
            constraint reservations_state_check check (state in ('open', 'settled', 'released')),
            constraint reservations_amount_check check (amount > 0)
        ) with (fillfactor = 80);
        create index reservations_pool_id_idx on reservations (pool_id) where state = 'open';

        create table ledger_entries (
            id bigint generated always as identity,
            pool_id bigint not null,
            kind text not null,
            amount bigint not null,
            balance_after bigint not null,
            at timestamptz not null default now(),
            slot timestamptz,
            account_id bigint,
            exchange_id uuid,
            note text,
            constraint ledger_entries_pkey primary key (id),
            constraint ledger_entries_kind_check check (
                kind in ('credit', 'forfeit', 'refill', 'spend', 'correction')));
        create index ledger_entries_pool_id_idx on ledger_entries (pool_id, id);
        create unique index ledger_entries_exchange_id_key on ledger_entries (exchange_id)
            where exchange_id is not null;
        create unique index ledger_entries_slot_key on ledger_entries (pool_id, kind, slot) where slot is not null;

        create table credits (
            account_id bigint not null,
            model_group text not null,
            pool_id bigint not null,
            capacity bigint not null,
            refill_per_hour bigint not null,
            balance bigint not null,
            resting boolean not null default false,
            constraint credits_pkey primary key (account_id, model_group),
            constraint credits_pool_id_fkey foreign key (pool_id) references quota_pools (id));
    """)


def downgrade() -> None:
    op.execute("drop table credits, ledger_entries, reservations, quota_pools")
