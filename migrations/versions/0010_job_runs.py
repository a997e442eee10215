"""What became of the scheduled work: a row per task."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.execute("""
        create table job_runs (
            task text not null,
            last_started timestamptz not null,
            last_finished timestamptz,
            last_outcome text,
            duration_ms bigint,
            found bigint,
            succeeded bigint not null default 0,
            failed bigint not null default 0,
            total_ms bigint not null default 0,
            constraint job_runs_pkey primary key (task),
            constraint job_runs_last_outcome_check check (last_outcome in ('succeeded', 'failed')));
    """)


def downgrade() -> None:
    op.execute("drop table job_runs")
