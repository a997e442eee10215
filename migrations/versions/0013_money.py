"""Prices of models in money; on each usage line its price's version and what it cost; both in the hourly sums."""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.execute("""
        create table model_prices (
            id bigint generated always as identity,
            model text not null,
            currency text not null,
            prompt bigint not null,
            completion bigint not null,
            cached bigint not null,
            valid_from timestamptz not null default now(),
            laid_down_at timestamptz not null default now(),
            laid_down_by bigint,
            constraint model_prices_pkey primary key (id),
            constraint model_prices_amounts_check check (prompt >= 0 and completion >= 0 and cached >= 0),
            constraint model_prices_currency_check check (currency ~ '^[A-Z]{3}$'));
        create index model_prices_model_idx on model_prices (model, valid_from, id);

        alter table usage_log add column price_id bigint, add column money bigint;
    """)
    for table in ("usage_hours", "usage_totals"):
        op.execute(f"""
            alter table {table}
                add column currency text not null default '',
                add column unpriced bigint not null default 0,
                add column money bigint not null default 0;
            alter table {table} alter column currency drop default, alter column unpriced drop default,
                alter column money drop default;
            -- Tokens are known of all that was not released, except of what nobody closed in time.
            update {table} set unpriced = calls - released where outcome <> 'abandoned';
        """)
    op.execute("""
        alter table usage_hours drop constraint usage_hours_pkey, add constraint usage_hours_pkey primary key (
            hour, user_id, api_key_id, account_id, contributor_id, model, endpoint, client_app, outcome, currency);
        alter table usage_totals drop constraint usage_totals_pkey, add constraint usage_totals_pkey primary key (
            hour, own, model, endpoint, client_app, outcome, currency);
    """)


def downgrade() -> None:
    # Hours that differ in nothing but the currency would be one row: they are counted again, from the log.
    op.execute("""
        delete from usage_hours using (select min(hour) as first from usage_hours where currency <> '') priced
            where hour >= priced.first;
        delete from usage_totals using (select min(hour) as first from usage_totals where currency <> '') priced
            where hour >= priced.first;
        alter table usage_hours drop constraint usage_hours_pkey, add constraint usage_hours_pkey primary key (
            hour, user_id, api_key_id, account_id, contributor_id, model, endpoint, client_app, outcome);
        alter table usage_totals drop constraint usage_totals_pkey, add constraint usage_totals_pkey primary key (
            hour, own, model, endpoint, client_app, outcome);
        alter table usage_hours drop column money, drop column unpriced, drop column currency;
        alter table usage_totals drop column money, drop column unpriced, drop column currency;
        alter table usage_log drop column money, drop column price_id;
        drop table model_prices;
    """)
