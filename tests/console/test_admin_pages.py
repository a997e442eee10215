"""The group's pages about accounts, pools, models, jobs, settings and how the service fares."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
import redis
from celery.schedules import crontab

from shared_accounts.accounts.models import Account
from shared_accounts.console.admin import jobs
from shared_accounts.extensions import db
from shared_accounts.metrics.models import JobRun
from shared_accounts.quotas import proof
from shared_accounts.quotas.models import ModelRule
from shared_accounts.users.models import TrustLevel
from tests import factories
from tests.conftest import rows
from tests.console.reader import Reader
from tests.factories import ago
from tests.quotas.sharing import contributed

STATUS = {"works": "Works", "late": "Late", "away": "Does not answer"}


@pytest.fixture
def boss(signed_in, session) -> Reader:
    """An admin's browser."""
    return signed_in(factories.admin(username="boss", password=factories.PASSWORD))


@pytest.fixture
def queued(redis_server):
    """The names of the tasks that wait for a worker."""

    def names():
        with redis.Redis.from_url(redis_server.url()) as connection:
            return [json.loads(message)["headers"]["task"] for message in connection.lrange("celery", 0, -1)]

    return names


def acts():
    return [row["act"] for row in sorted(rows("audit_log"), key=lambda row: row["id"])]


def wrong(answer):
    return {one["name"] for one in answer.all("input") + answer.all("select") if one.get("aria-invalid")}


def pool_of(user):
    return next(row for row in rows("quota_pools") if row["user_id"] == user.id)


def test_accounts_are_found_by_name_owner_and_state(boss, lin):
    factories.account(lin, name="Garden")
    factories.account(factories.user(username="Nora"), name="Attic", state="broken")
    factories.account(lin, name="Gone", state="withdrawn")

    found = {
        query: [name for name in ("Garden", "Attic", "Gone") if name in boss.get(f"/admin/accounts{query}").text]
        for query in ("", "?search=gar", "?owner=nor", "?state=broken", "?state=withdrawn", "?sharing=dedicated")
    }

    assert found == {
        "": ["Garden", "Attic"],
        "?search=gar": ["Garden"],
        "?owner=nor": ["Attic"],
        "?state=broken": ["Attic"],
        "?state=withdrawn": ["Gone"],
        "?sharing=dedicated": [],
    }


def test_an_account_is_disabled_with_a_reason_its_owner_reads_and_enabled_again(boss, signed_in, lin):
    account = contributed(lin)
    path = f"/admin/accounts/{account.id}"

    assert wrong(boss.send(boss.get(f"{path}/disable"), f"{path}/disable", reason=" ")) == {"reason"}
    told = boss.follow(boss.send(boss.get(f"{path}/disable"), f"{path}/disable", reason="its provider asked us to"))
    assert "The account is disabled" in told.text
    assert pool_of(lin)["refill_per_hour"] == 0
    assert "its provider asked us to" in signed_in(lin).get(f"/accounts/{account.id}").text
    boss.send(told, f"{path}/enable")

    assert db.session.get(Account, account.id, populate_existing=True).state == "active"
    assert pool_of(lin)["refill_per_hour"] == 400_000
    assert acts()[-2:] == ["account.disabled", "account.enabled"] or acts()[-3:-1] == [
        "account.disabled",
        "sign_in.accepted",
    ]
    assert proof.verify() == []


def test_what_an_account_may_be_worth_moves_what_its_owner_earns(boss, lin):
    account = contributed(lin, allowance_tokens=3_000_000)
    path = f"/admin/accounts/{account.id}"
    assert pool_of(lin)["capacity"] == 2_000_000

    assert wrong(boss.send(boss.get(path), f"{path}/worth", max_worth="-1")) == {"max_worth"}
    boss.send(boss.get(path), f"{path}/worth", max_worth="2.5")
    assert (pool_of(lin)["capacity"], pool_of(lin)["refill_per_hour"]) == (5_000_000, 1_000_000)
    boss.send(boss.get(path), f"{path}/worth", max_worth="")

    assert pool_of(lin)["capacity"] == 2_000_000
    assert [act for act in acts() if act == "account.worth_set"] == ["account.worth_set"] * 2
    assert proof.verify() == []


def test_a_pool_is_corrected_with_a_reason_within_its_bounds(boss, signed_in, lin):
    pool = factories.quota_pool(lin, balance=4_000_000, capacity=6_000_000)
    path = f"/admin/pools/{pool.id}"

    too_much = boss.send(boss.get(f"{path}/correct"), f"{path}/correct", units="3", reason="a gift")
    nothing = boss.send(boss.get(f"{path}/correct"), f"{path}/correct", units="0")
    told = boss.follow(
        boss.send(boss.get(f"{path}/correct"), f"{path}/correct", units="\u22121.5", reason="counted twice on Tuesday")
    )

    assert (too_much.status, wrong(too_much)) == (409, {"units"})
    assert "-4.0000 to 2.0000" in too_much.text
    assert wrong(nothing) == {"units", "reason"}
    assert rows("quota_pools")[0]["balance"] == 2_500_000
    assert "counted twice on Tuesday" in told.text
    assert "by boss" in told.text
    assert "counted twice on Tuesday" in signed_in(lin).get("/quota").text
    assert proof.verify() == []


def test_pools_are_found_by_owner_and_group(boss, lin):
    factories.quota_pool(lin, model_group="gpt-5")
    factories.quota_pool(factories.user(username="Nora"), model_group="deepseek")

    assert "gpt-5" not in boss.get("/admin/pools?user=nora").text
    assert "deepseek" not in boss.get("/admin/pools?model_group=gpt-5").text
    assert "20.0000 units are free in 2 pools" in boss.get("/admin/pools").text


def test_a_rule_is_laid_down_shown_filled_in_and_lifted(boss, queued):
    terms = {"model": "gpt-5-mini", "model_group": "gpt-5", "reference_tokens": "2000000", "prompt": "0.25"}
    told = boss.follow(boss.send(boss.get("/admin/models/rule"), "/admin/models/rule", **terms))
    row = db.session.get(ModelRule, "gpt-5-mini")
    again = boss.get("/admin/models/rule?model=gpt-5-mini").form("/admin/models/rule").fields

    assert (row.model_group, row.reference_tokens, row.prompt_weight, row.completion_weight) == (
        "gpt-5",
        2_000_000,
        250,
        4000,
    )
    assert {name: again[name] for name in terms} == terms
    boss.send(told, "/admin/models/lift", model="gpt-5-mini")
    assert rows("model_rules") == []
    assert queued() == ["shared_accounts.regroup_accounts"] * 2


def test_an_alias_is_laid_down(boss):
    boss.send(boss.get("/admin/models/rule"), "/admin/models/rule", model="sonnet", alias_of="claude-sonnet")

    assert "alias of claude-sonnet" in boss.get("/admin/models").text


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"model": "m", "alias_of": "m"}, "alias_of"),
        ({"model": "m", "alias_of": "n", "model_group": "g"}, "model_group"),
        ({"model": "m", "reference_tokens": "many"}, "reference_tokens"),
        ({"model": "m", "prompt": "heavy"}, "prompt"),
        ({"model": ""}, "model"),
        ({"model": "n" * 201}, "model"),
    ],
)
def test_a_rule_that_cannot_be_is_told_at_its_field(boss, terms, field):
    answer = boss.send(boss.get("/admin/models/rule"), "/admin/models/rule", **terms)

    assert (answer.status, wrong(answer)) == (422, {field})
    assert rows("model_rules") == []


def test_settings_are_changed_and_given_back(boss):
    page = boss.get("/admin/settings")
    boss.send(page, "/admin/settings", registration="open", quota_capacity_per_account="3")
    changed = {row["name"]: row["value"] for row in rows("runtime_settings")}
    kept = boss.get("/admin/settings").form("/admin/settings").fields
    boss.send(boss.get("/admin/settings"), "/admin/settings", registration="", quota_capacity_per_account="")

    assert changed == {"registration": "open", "quota_capacity_per_account": "3"}
    assert (kept["registration"], kept["quota_capacity_per_account"]) == ("open", "3")
    assert rows("runtime_settings") == []
    assert [act for act in acts() if act == "settings.changed"] == ["settings.changed"] * 2


def test_a_bad_setting_changes_none(boss):
    answer = boss.send(
        boss.get("/admin/settings"), "/admin/settings", registration="open", quota_refill_per_account="lots"
    )

    assert (answer.status, wrong(answer)) == (422, {"quota_refill_per_account"})
    assert rows("runtime_settings") == []


def test_a_trust_level_is_changed(boss):
    page = boss.get("/admin/settings/trust/1")
    fields = {"max_keys": "3", "requests_per_minute": "20", "max_concurrent": ""}
    plain = {name: value for name, value in page.form("/admin/settings/trust/1").fields.items() if name != "may_share"}
    boss.post("/admin/settings/trust/1", {**plain, **fields})
    level = db.session.get(TrustLevel, 1, populate_existing=True)

    assert (level.may_share, level.max_keys, level.requests_per_minute, level.max_concurrent) == (False, 3, 20, None)
    assert wrong(boss.send(page, "/admin/settings/trust/1", max_keys="1001")) == {"max_keys"}
    assert boss.get("/admin/settings/trust/7").status == 404


def test_a_job_is_asked_to_run_and_that_is_written_down(boss, queued):
    told = boss.follow(boss.send(boss.get("/admin/jobs"), "/admin/jobs/prove_ledger/run"))

    assert queued() == ["shared_accounts.prove_ledger"]
    assert acts()[-1] == "job.run"
    assert "as soon as a worker is free" in told.text
    token = boss.get("/admin/jobs").form("/admin/jobs/prove_ledger/run").fields["csrf"]
    assert boss.post("/admin/jobs/provision_plugin_user/run", {"csrf": token}).status == 404


@pytest.mark.parametrize(
    ("schedule", "since", "due"),
    [
        (crontab(minute="2-59/5"), "12:03", "12:07"),
        (crontab(minute="2-59/5"), "12:57", "13:02"),
        (crontab(minute="7"), "12:07", "13:07"),
        (crontab(minute="7"), "23:08", "00:07"),
        (15.0, "12:00", "12:00"),
    ],
)
def test_when_a_job_is_due_next_is_read_from_its_schedule(schedule, since, due):
    moment = datetime.fromisoformat(f"2026-11-28T{since}:20+00:00")

    assert jobs.after(schedule, moment).strftime("%H:%M") == due


def test_a_job_that_did_not_begin_when_it_should_is_late(boss):
    for task, minutes, finished in (("refill_quotas", 20, True), ("roll_up_usage", 0, False)):
        ended = ago(minutes=minutes) if finished else None
        run = JobRun(task=task, last_started=ago(minutes=minutes), last_finished=ended, last_outcome=None)
        db.session.add(run)
    db.session.commit()

    assert {one.name: one.state for one in jobs.listed() if one.run} == {
        "refill_quotas": "late",
        "roll_up_usage": "running",
    }
    assert "1 job is late" in boss.get("/admin/jobs").text


def test_a_job_that_was_killed_has_failed():
    started = datetime.now(UTC) - timedelta(minutes=4)
    run = JobRun(task="prove_ledger", last_started=started, last_finished=None)

    assert jobs.state_of(run, datetime.now(UTC) + timedelta(hours=1), datetime.now(UTC)) == "failed"


@pytest.mark.parametrize(
    ("began", "waits", "expected"),
    [
        (0, False, {"worker": "works", "beat": "works"}),
        (10, True, {"worker": "away", "beat": "works"}),
        (10, False, {"worker": "late", "beat": "away"}),
    ],
)
def test_the_status_tells_a_worker_that_is_away_from_a_beat_that_is(boss, queued, began, waits, expected):
    db.session.add(JobRun(task="finish_draining", last_started=ago(minutes=began), last_finished=ago(minutes=began)))
    db.session.commit()
    if waits:
        boss.send(boss.get("/admin/jobs"), "/admin/jobs/prove_ledger/run")

    words = boss.get("/admin/status").text
    worker, beat = words.partition("Workers ended")[2], words.partition("Beat a job began")[2]

    assert len(queued()) == waits
    assert worker.split("Beat")[0].strip().endswith(STATUS[expected["worker"]])
    assert beat.split("At this moment")[0].strip().endswith(STATUS[expected["beat"]])


def test_the_status_says_when_the_proof_found_something(boss):
    finished = {"last_started": ago(minutes=1), "last_finished": ago(minutes=1), "last_outcome": "succeeded"}
    db.session.add(JobRun(task="prove_ledger", found=2, **finished))
    db.session.commit()

    assert "The last proof found 2 things wrong" in boss.get("/admin/status").text


def test_the_audit_log_is_read_by_act_and_by_name(boss, lin):
    boss.send(boss.get(f"/admin/users/{lin.id}"), f"/admin/users/{lin.id}/state", state="silenced")

    assert "user.silenced" in boss.get("/admin/audit?act=user&actor=BOSS&user=lin%20wei").text
    assert "user.silenced" not in boss.get("/admin/audit?act=quota").text
    assert "No line matches" in boss.get("/admin/audit?actor=nobody-here").text
    assert boss.get("/admin/audit?act=%00&actor=%00&page=-3").status == 200


def test_a_price_is_laid_down_once_and_counts(boss):
    fields = {"model": "gpt-5", "currency": "USD", "input": "1.25", "output": "10", "cached": ""}
    first = boss.follow(boss.send(boss.get("/admin/prices/new"), "/admin/prices", **fields))
    again = boss.follow(boss.send(boss.get("/admin/prices/new"), "/admin/prices", **fields))
    bad = boss.send(boss.get("/admin/prices/new"), "/admin/prices", **{**fields, "currency": "dollar", "input": "-1"})

    assert "The price counts from now on" in first.text
    assert "1.25" in first.text
    assert "That price counts already" in again.text
    assert wrong(bad) == {"currency", "input"}
    assert len(rows("model_prices")) == 1
    assert "No line matches" in boss.get("/admin/prices?model=nothing").text
