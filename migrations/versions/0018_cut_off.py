"""Accounts whose owners do not let what runs on them finish."""

from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.execute("alter table accounts add column cut_off boolean not null default false")


def downgrade() -> None:
    op.execute("alter table accounts drop column cut_off")
