"""Run the migrations: one at a time, and never queueing long behind traffic for a lock."""

from alembic import context
from flask import current_app
from sqlalchemy import text

_ADVISORY_LOCK = 7_305_811

_PARTITIONS = text("select relname from pg_class where relispartition and relkind = 'r'")


def run() -> None:
    """Migrate under an advisory lock, so that two releases started together run one after the other."""
    migrate = current_app.extensions["migrate"]
    with migrate.db.engine.connect() as connection:
        connection.execute(text("set statement_timeout = 0"))
        connection.execute(text("select pg_advisory_lock(:lock)"), {"lock": _ADVISORY_LOCK})
        connection.execute(text("set lock_timeout = '5s'"))
        partitions = set(connection.scalars(_PARTITIONS))  # no tables of the models'
        connection.commit()
        context.configure(
            connection=connection,
            target_metadata=migrate.db.metadata,
            transaction_per_migration=True,
            compare_server_default=True,
            compare_type=True,
            include_name=lambda name, kind, _: kind != "table" or name not in partitions,
        )
        with context.begin_transaction():
            context.run_migrations()
        connection.execute(text("select pg_advisory_unlock(:lock)"), {"lock": _ADVISORY_LOCK})
        connection.commit()


run()
