"""What was charged under an Idempotency-Key, so that a call sent again is not charged again."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.execute("""
        create table idempotency_keys (
            user_id bigint not null,
            key_digest bytea not null,
            body_digest bytea not null,
            exchange_id uuid,
            charged bigint not null default 0,
            charges bigint not null default 0,
            claimed_at timestamptz not null default now(),
            constraint idempotency_keys_pkey primary key (user_id, key_digest),
            constraint idempotency_keys_user_id_fkey foreign key (user_id) references users (id) on delete cascade,
            constraint idempotency_keys_charged_check check (charged >= 0 and charges >= 0));
        create index idempotency_keys_pending_idx on idempotency_keys (claimed_at) where exchange_id is not null;
        create index idempotency_keys_claimed_at_idx on idempotency_keys (claimed_at);
    """)


def downgrade() -> None:
    op.execute("drop table idempotency_keys")
