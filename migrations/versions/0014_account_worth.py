"""What one account may be worth at most, where an admin says so."""

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.execute("""
        alter table accounts add column max_worth bigint,
            add constraint accounts_max_worth_check check (max_worth > 0);
    """)


def downgrade() -> None:
    op.execute("alter table accounts drop column max_worth")
