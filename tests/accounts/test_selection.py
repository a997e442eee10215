"""Whom a worker would try, in which order, and how far it looks; from ten accounts to thousands."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from zlib import crc32

import psycopg2
import pytest
from sqlalchemy import text

from shared_accounts import statements as pools
from shared_accounts.accounts import candidates, explain, selection
from shared_accounts.accounts.selection import Supply
from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.outbound.addresses import Guard
from shared_accounts.users.roster import Caller
from tests import factories
from tests.test_fresh import Slowly

MANY = """
insert into accounts (owner_id, name, base_url, sealed_credential, fingerprint, sharing, models, allowance_tokens,
    window_hours)
select :owner, 'one of many', 'http://127.0.0.1:9/v1', 'sealed', decode(md5(:owner || :sharing || n), 'hex'),
    :sharing, array['m'], 1000000, 5
from generate_series(1, :count) n returning id"""


MANY_WINDOWS = """
insert into account_windows select id, 'group-' || n, 0, now() + interval '1 hour', null
from accounts, generate_series(1, 20) n"""


@pytest.fixture
def supply(committed, app):
    """What a worker knows, for as long as a test lasts."""
    return fresh(app)


def fresh(app, *, seconds=60.0, guard=None):
    return Supply(app.extensions["vault"], guard or app.extensions["guard"], seconds, 1_000_000)


@pytest.fixture
def owner(committed):
    return factories.user()


@pytest.fixture
def caller(committed):
    return caller_for(factories.user())


def caller_for(user, **preferences):
    given = {"prefer_shared": False, "use_only_dedicated": False, **preferences}
    return Caller(user.id, "active", api_key_id=None, fingerprint=None, session_id=None, **given)


def many(owner, count, sharing="shared"):
    """Bring so many accounts for the model `m`; returns their ids."""
    found = db.session.execute(text(MANY), {"owner": owner.id, "count": count, "sharing": sharing}).scalars().all()
    db.session.commit()
    return list(found)


def run(statement, **values):
    db.session.execute(text(statement), values)
    db.session.commit()


def cool(ids, seconds=600):
    run(
        "update accounts set cooling_until = now() + make_interval(secs => :s) where id = any(:ids)", s=seconds, ids=ids
    )


def window(account_id, used, group="m"):
    """Use so much of an account's window, from 0 to 1."""
    run(
        "insert into account_windows values (:id, :group, :used, now() + interval '1 hour', null)",
        id=account_id, group=group, used=int(used * MICRO),
    )  # fmt: skip


def ids(found):
    return [one.id for one in found]


# -- how far one looks


@pytest.mark.parametrize("count", [1, 64, 65, 128, 200, 256])
def test_going_round_meets_everybody_once(supply, owner, caller, count):
    made = many(owner, count)

    found = ids(supply.candidates(caller, "m"))

    assert len(found) == count
    assert set(found) == set(made)


def test_of_very_many_one_looks_at_some_and_each_time_at_others(app, owner, caller):
    made = many(owner, 1000)
    met = set()
    for _ in range(30):
        found = ids(fresh(app).candidates(caller, "m"))
        assert len(found) == len(set(found)) == 256
        met.update(found)

    assert met <= set(made)
    assert len(met) > 900


def test_a_stretch_of_the_ring_in_trouble_does_not_hide_who_is_healthy(supply, owner, caller):
    made = many(owner, 200)
    cool(made[:-1])
    told = []

    found = ids(supply.candidates(caller, "m", None, lambda one: told.append(one.id)))

    assert found == made[-1:]
    assert len(told) == 199
    assert set(told) == set(made[:-1])


def test_when_all_are_cooling_it_is_known_when_the_first_of_them_is_back(supply, owner, caller):
    made = many(owner, 200)
    cool(made)
    cool(made[70:71], seconds=100)

    assert list(supply.candidates(caller, "m")) == []
    assert 90 < supply.cooling_for(caller, "m") <= 100


def test_nobody_at_all_is_no_matter_of_time(supply, owner, caller):
    many(owner, 1, "dedicated")

    assert list(supply.candidates(caller, "m")) == []
    assert supply.cooling_for(caller, "m") is None
    assert supply.cooling_for(caller_for(owner), "m") == 0


def test_when_nobody_known_is_idle_the_next_one_has_more_to_choose_from(supply, owner, caller):
    many(owner, 500)
    known = supply.serving("m").shared
    supply.in_flight.update(ids(known))
    next(supply.candidates(caller, "m"))

    assert len(known) == 64
    assert next(supply.candidates(caller, "m")).id in set(ids(supply.serving("m").shared)) - set(ids(known))


def test_those_who_read_on_at_the_same_time_all_meet_everybody(supply, owner, caller):
    made = set(many(owner, 200))

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: ids(supply.candidates(caller, "m")), range(24)))

    assert all(len(one) == 200 and set(one) == made for one in found)


# -- one's own


def test_her_own_come_first_however_many_others_there_are(supply, owner, caller):
    others = set(many(owner, 300))
    her = factories.user()
    dedicated, shared = many(her, 70, "dedicated"), many(her, 3)

    found = ids(supply.candidates(caller_for(her), "m"))

    assert set(found[:70]) == set(dedicated)
    assert set(shared) < set(found[70 : 70 + 67])
    assert len(found) == len(set(found))
    assert set(found) <= others | {*dedicated, *shared}
    prefers_shared = caller_for(her, prefer_shared=True)
    assert not set(dedicated) & set(ids(islice(supply.candidates(prefers_shared, "m"), 200)))
    only_hers = caller_for(her, use_only_dedicated=True)
    assert set(ids(supply.candidates(only_hers, "m"))) == {*dedicated, *shared}
    assert not set(ids(supply.candidates(caller, "m"))) & set(dedicated)


# -- what is remembered


def test_an_account_that_appears_where_nobody_was_is_found_at_once(supply, owner):
    her = caller_for(owner)
    assert list(supply.candidates(her, "m")) == []

    made = many(owner, 1, "dedicated")

    assert ids(supply.candidates(her, "m")) == made


def test_what_is_known_is_remembered_until_it_is_forgotten(supply, owner):
    made, her = many(owner, 2), caller_for(owner)
    assert set(ids(supply.candidates(her, "m"))) == set(made)
    mine = many(owner, 1, "dedicated")
    assert set(ids(supply.candidates(her, "m"))) == set(made)

    supply.forget("m")

    assert ids(supply.candidates(her, "m"))[:1] == mine


def test_what_was_forgotten_while_it_was_read_is_read_again(supply, owner, caller):
    made = many(owner, 300)
    half_way = supply.candidates(caller, "m")
    next(half_way)
    supply.forget("m")
    list(half_way)
    cool(made)

    assert list(supply.candidates(caller, "m")) == []


def test_what_is_remembered_does_not_grow_with_those_who_ask(supply, owner, monkeypatch):
    monkeypatch.setattr(selection, "_MOST_KEPT", 300)
    many(owner, 70)
    user = factories.user()
    for number in range(200):
        next(supply.candidates(caller_for(user), "m", conversation=number))

    assert sum(1 + len(ring.accounts) for ring in supply.serving("m").rings.values()) <= 300


def test_an_account_is_read_anew_wherever_it_lies(supply, owner):
    made = many(owner, 500) + many(owner, 500, "dedicated")
    met = {one.id: one for one in supply.candidates(caller_for(owner), "m")}
    some = [one for one in met.values() if one.id in made][::25]
    run("update accounts set strikes = 7")

    assert [supply.again(one, "m").strikes for one in some] == [7] * len(some)
    cool([some[0].id])
    run("update accounts set state = 'paused' where id = :id", id=some[1].id)
    assert [supply.again(one, "m") for one in some[:2]] == [None, None]


# -- in which order


def test_the_least_loaded_for_its_limit_comes_first(supply, owner, caller):
    half_full = factories.account(owner, max_concurrency=2)
    a_third_full = factories.account(owner, max_concurrency=9)
    hardly_busy = factories.account(owner)
    supply.in_flight.update({half_full.id: 1, a_third_full.id: 3, hardly_busy.id: 5})

    order = [hardly_busy.id, a_third_full.id, half_full.id]

    assert [ids(supply.candidates(caller, "m")) for _ in range(5)] == [order] * 5


def test_of_the_equally_busy_the_one_with_the_fresher_window_comes_first(supply, owner, caller):
    made = [factories.account(owner).id for _ in range(3)]
    for account_id, used in zip(made, (0.8, 0.1, 0.4), strict=True):
        window(account_id, used)

    assert ids(supply.candidates(caller, "m")) == [made[1], made[2], made[0]]
    supply.in_flight[made[1]] += 1
    assert ids(supply.candidates(caller, "m")) == [made[2], made[0], made[1]]


def test_a_window_that_has_ended_counts_for_nothing(supply, owner, caller):
    ended, running = factories.account(owner).id, factories.account(owner).id
    window(ended, 2.0)
    run("update account_windows set resets_at = now()")
    window(running, 0.1)

    assert ids(supply.candidates(caller, "m")) == [ended, running]


def test_among_equals_it_is_chance(supply, owner, caller):
    made = many(owner, 3)
    for account_id, used in zip(made, (0.501, 0.504, 0.509), strict=True):
        window(account_id, used)

    assert {next(supply.candidates(caller, "m")).id for _ in range(60)} == set(made)


def test_windows_are_those_of_the_models_group(supply, owner, caller):
    made = [factories.account(owner).id for _ in range(3)]
    run("insert into model_rules (model, model_group, reference_tokens) values ('m', 'g', 500000)")
    window(made[0], 2.0, group="g")
    window(made[1], 1.9, group="g")
    window(made[2], 1.0)

    assert ids(supply.candidates(caller, "m")) == [made[2], made[1]]
    assert {one.id: one.cooling_until > 0 for one in supply.serving("m").shared} == dict(
        zip(made, (True, False, False), strict=True)
    )


def test_an_address_that_is_no_longer_allowed_does_not_stop_the_others(app, owner, caller):
    many(owner, 70)
    allowed = factories.account(owner, base_url="https://example.com/v1").id

    assert ids(fresh(app, guard=Guard(())).candidates(caller, "m")) == [allowed]


# -- conversations


def homes(supply, caller, conversations):
    return {talk: next(supply.candidates(caller, "m", conversation=talk)).id for talk in conversations}


TALKS = [crc32(b"talk %d" % number) for number in range(200)]


@pytest.mark.parametrize("count", [10, 64, 65, 100, 300])
def test_every_worker_finds_the_same_home_and_the_same_one_in_its_stead(app, owner, caller, count):
    many(owner, count)
    found = homes(fresh(app), caller, TALKS)
    assert homes(fresh(app), caller, TALKS) == found

    away = list(set(found.values()))[:5]
    cool(away)
    then = homes(fresh(app), caller, TALKS)

    assert homes(fresh(app), caller, TALKS) == then
    assert not set(then.values()) & set(away)
    assert {talk for talk in TALKS if then[talk] != found[talk]} == {talk for talk in TALKS if found[talk] in away}


def test_a_home_does_not_change_with_how_much_of_the_ring_is_known(supply, owner, caller):
    many(owner, 100)
    found = homes(supply, caller, TALKS[:20])

    assert len(list(supply.candidates(caller, "m"))) == 100

    assert homes(supply, caller, TALKS[:20]) == found


@pytest.mark.parametrize("count", [20, 300])
def test_an_account_more_moves_few_conversations(app, owner, caller, count):
    many(owner, count)
    before = homes(fresh(app), caller, TALKS)

    new = factories.account(owner).id

    after = homes(fresh(app), caller, TALKS)
    moved = [talk for talk in TALKS if after[talk] != before[talk]]
    assert len(moved) < 200 * 5 / count
    assert count > 64 or {after[talk] for talk in moved} <= {new}


def test_conversations_are_spread_over_all_accounts(supply, owner, caller):
    many(owner, 100)
    found = list(homes(supply, caller, TALKS).values())

    assert len(set(found)) > 60
    assert max(found.count(one) for one in set(found)) < 12


@pytest.mark.parametrize("count", [3, 100])
def test_a_home_that_is_much_busier_or_full_is_not_waited_for(supply, owner, caller, count):
    many(owner, count)
    run("update accounts set max_concurrency = 3")
    home = next(supply.candidates(caller, "m", conversation=7)).id

    supply.in_flight[home] = 2
    assert next(supply.candidates(caller, "m", conversation=7)).id == home
    supply.in_flight[home] = 3
    full = ids(supply.candidates(caller, "m", conversation=7))
    assert full[0] != home
    assert len(full) == len(set(full)) == count
    run("update accounts set max_concurrency = null")
    supply.forget("m")
    supply.in_flight[home] = 4
    assert next(supply.candidates(caller, "m", conversation=7)).id == home
    supply.in_flight[home] = 5
    assert next(supply.candidates(caller, "m", conversation=7)).id != home


# -- what it costs


def pages_touched(settings, statement, *values):
    """How many pages of the database a prepared statement looks at, planned as the workers plan it."""
    options = pools._PLANS  # noqa: SLF001
    url = settings.database_url.replace("+psycopg2", "")
    with closing(psycopg2.connect(url, options=options)) as connection, connection.cursor() as cursor:
        types = ", ".join(["text", *["bigint"] * (len(values) - 1)])
        cursor.execute(f"prepare this ({types}) as {statement}")
        cursor.execute(
            f"explain (analyze, buffers, format json) execute this ({', '.join(['%s'] * len(values))})", values
        )
        (found,) = cursor.fetchone()
        plan = (found if isinstance(found, list) else json.loads(found))[0]["Plan"]
        return plan["Actual Rows"], plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


def test_a_page_costs_as_much_of_three_thousand_as_of_a_hundred(settings, owner):
    shared = candidates._clockwise("shared")  # noqa: SLF001
    read = ("m", 1_000_000, 2**31, 2**32, 2**31)
    many(owner, 100)
    rows, few = pages_touched(settings, shared, *read, 65)
    home_rows, few_home = pages_touched(settings, shared, *read, 5)
    many(factories.user(), 2900)
    run(MANY_WINDOWS)

    assert (rows, home_rows) == (65, 5)
    rows, more = pages_touched(settings, shared, *read, 65)
    assert rows == 65
    assert more < 4 * few  # thirty times as many accounts; dead rows of other tests cost pages, too
    assert pages_touched(settings, shared, *read, 5)[1] < 4 * few_home + 10


def test_the_dry_run_names_them_in_the_order_they_would_be_tried(supply, owner):
    user = factories.user()
    made = [factories.account(owner, max_concurrency=limit) for limit in (None, 4, None, 2)]
    mine = factories.account(user, sharing="dedicated")
    window(made[0].id, 0.6)
    window(made[2].id, 0.2)
    window(made[1].id, 0.4)
    cool([made[3].id])
    for prefers in (False, True):
        user.prefer_shared = prefers
        db.session.commit()
        told = explain.considered(user, "m", "m", reference=1_000_000)
        tried = ids(supply.candidates(caller_for(user, prefer_shared=prefers), "m"))
        assert [one["id"] for one in told if one["why_not"] is None] == tried
        assert len(tried) == 4
    assert tried[-1] == mine.id


def test_while_one_reads_who_serves_a_model_the_others_go_by_what_is_known(
    supply, owner, caller, committed, monkeypatch
):
    factories.account(owner, models=["m"])
    committed.commit()
    reader = supply._reader  # noqa: SLF001 - counted, not replaced
    slowly = Slowly(reader.page)
    monkeypatch.setattr(reader, "page", slowly)
    known = supply.serving("m")
    known.until = 0.0

    with ThreadPoolExecutor(1) as other:
        reading = other.submit(supply.serving, "m")
        assert slowly.begun.wait(30)
        assert [supply.serving("m") for _ in range(64)] == [known] * 64
        slowly.go_on.set()
        assert reading.result() is supply.serving("m") is not known

    assert slowly.reads == 2


def test_an_account_that_is_found_gone_is_not_kept(supply, owner, caller, committed):
    account = factories.account(owner, models=["m"])
    committed.commit()
    supply.serving("m").until = 0.0
    account.state = "paused"
    committed.commit()

    assert list(supply.candidates(caller, "m")) == []
    account.state = "active"
    committed.commit()
    assert [one.id for one in supply.candidates(caller, "m")] == [account.id]
