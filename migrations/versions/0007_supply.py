"""The supply: who serves which model, on a ring, so that reading a few of ten thousand costs as much as of ten."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    # The trigger comes before the filling: making it waits for those who write, and then keeps them waiting.
    op.execute("""
        create table account_models (
            account_id bigint not null,
            model text not null,
            owner_id bigint not null,
            shared boolean not null,
            lot bigint not null,
            constraint account_models_pkey primary key (account_id, model),
            constraint account_models_account_id_fkey foreign key (account_id) references accounts (id)
                on delete cascade);
        create index account_models_ring_idx on account_models (model, lot, account_id) where shared;
        create index account_models_owner_id_idx on account_models (owner_id, model, shared, lot, account_id);

        create function place_account() returns trigger language plpgsql as $$
            begin
                delete from account_models where account_id = new.id;
                if new.state = 'active' then
                    insert into account_models (account_id, model, owner_id, shared, lot)
                    select distinct new.id, model, new.owner_id, new.sharing = 'shared',
                        ((new.id & 2147483647) * 2654435769) & 4294967295
                    from unnest(new.models) as model;
                end if;
                return null;
            end $$;
        create trigger accounts_placed after insert or update of models, state, sharing, owner_id on accounts
            for each row execute function place_account();

        insert into account_models (account_id, model, owner_id, shared, lot)
        select distinct id, model, owner_id, sharing = 'shared', ((id & 2147483647) * 2654435769) & 4294967295
        from accounts, unnest(models) as model where state = 'active';

        drop index accounts_models_idx;
    """)


def downgrade() -> None:
    op.execute("""
        create index accounts_models_idx on accounts using gin (models) where state = 'active';
        drop trigger accounts_placed on accounts;
        drop function place_account();
        drop table account_models;
    """)
