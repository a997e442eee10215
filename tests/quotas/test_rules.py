"""What a rule comes to, who may lay down what, and how soon it is known."""

from __future__ import annotations

import time

import pytest

from shared_accounts.errors import NotFound, ServiceError, Unprocessable
from shared_accounts.extensions import db
from shared_accounts.quotas import rule_changes, rules
from shared_accounts.quotas.pricing import STANDARD, Rule
from shared_accounts.quotas.rules import RuleBook
from tests.conftest import rows
from tests.together import at_once

STANDARD_REFERENCE = 1_000_000


def rule(model):
    return rules.rule_of(model, reference=STANDARD_REFERENCE)


def lay_down(model, *, group=None, weights=STANDARD, **reference):
    return rule_changes.lay_down(model, group=group, weights=weights, **reference)


def test_a_model_nobody_laid_anything_down_for_is_its_own_group_and_follows_the_standard(session):
    assert rule("m") == Rule("m", "m", STANDARD_REFERENCE, (1000, 4000, 100))


def test_a_rule_says_the_group_the_reference_and_the_weights(session):
    lay_down("m", group="g", weights=(500, 2000, 0), reference=2_000_000)

    assert rule("m") == Rule("m", "g", 2_000_000, (500, 2000, 0))


def test_an_alias_follows_its_targets_rule_and_asks_for_its_target(session):
    rule_changes.make_alias("fast", "m")
    assert rule("fast") == Rule("m", "m", STANDARD_REFERENCE)

    lay_down("m", group="g", weights=(1, 2, 3), reference=5000)

    assert rule("fast") == rule("m") == Rule("m", "g", 5000, (1, 2, 3))


def test_a_reference_is_the_whole_groups_also_of_the_model_the_group_is_named_after(session):
    lay_down("n", group="m", reference=5000)

    assert rule("m") == Rule("m", "m", 5000)


def test_whoever_names_a_reference_names_it_for_the_group_and_whoever_does_not_takes_the_groups(session):
    lay_down("a", group="g", reference=5000)
    lay_down("b", group="g")
    assert rule("b").reference == 5000

    lay_down("b", group="g", reference=7000)
    assert (rule("a").reference, rule("b").reference) == (7000, 7000)

    lay_down("b", group="h")
    assert (rule("a").reference, rule("b").reference) == (7000, STANDARD_REFERENCE)

    lay_down("a", group="g", reference=None)
    assert rule("a").reference == STANDARD_REFERENCE


def test_all_rules_of_a_group_name_the_same_reference_whatever_was_laid_down_in_which_order(session):
    lay_down("g", reference=3000)
    lay_down("a", group="g")
    lay_down("b", group="g", reference=4000)
    lay_down("b", group="h", reference=9000)
    lay_down("c", group="g", reference=None)

    named = {row["model"]: row["reference_tokens"] for row in rows("model_rules")}
    assert named == {"g": None, "a": None, "b": 9000, "c": None}


def test_a_lifted_rule_leaves_the_standard(session):
    lay_down("m", group="g", weights=(1, 1, 1), reference=5000)
    rule_changes.make_alias("fast", "m")

    rule_changes.lift("m")
    assert rule("fast") == rule("m") == Rule("m", "m", STANDARD_REFERENCE)
    rule_changes.lift("fast")
    assert rule("fast") == Rule("fast", "fast", STANDARD_REFERENCE)
    with pytest.raises(NotFound):
        rule_changes.lift("fast")


def test_a_model_becomes_an_alias_and_a_model_again_and_keeps_nothing_of_what_it_was(session):
    lay_down("m", group="g", weights=(1, 1, 1), reference=5000)

    rule_changes.make_alias("m", "n")
    assert rule("m") == Rule("n", "n", STANDARD_REFERENCE)
    assert rule("anything").reference == STANDARD_REFERENCE
    lay_down("m")
    assert rule("m") == Rule("m", "m", STANDARD_REFERENCE)


def test_the_groups_that_pay_for_an_account_leave_out_names_that_are_aliases(session):
    lay_down("a", group="g")
    lay_down("b", group="g")
    rule_changes.make_alias("fast", "a")

    assert rules.current(reference=1).groups(["a", "b", "c", "fast"]) == {"g", "c"}


@pytest.mark.parametrize("target", ["fast", "slow", "m"])
def test_an_alias_leads_to_a_model_and_to_nothing_else(session, target):
    rule_changes.make_alias("slow", "n")
    before = rows("model_rules")

    with pytest.raises(Unprocessable) as refused:
        rule_changes.make_alias({"m": "n"}.get(target, "fast"), target)

    assert refused.value.field == "alias_of"
    assert rows("model_rules") == before


def test_what_changes_nothing_leaves_no_entry_in_the_audit_log(session):
    said = [lay_down("m", group="g"), lay_down("m", group="g"), rule_changes.make_alias("x", "m")]
    said += [rule_changes.make_alias("x", "m"), lay_down("m", group="g", reference=5000)]

    assert said == [True, False, True, False, True]
    db.session.flush()
    assert [row["target"] for row in rows("audit_log")] == ["model:m", "model:x", "model:m"]


def test_of_two_aliases_that_would_make_a_chain_one_is_refused(committed, app):
    def alias(name, target):
        def act():
            try:
                rule_changes.make_alias(name, target)
            except ServiceError as error:
                db.session.rollback()
                return error.field
            db.session.commit()
            return None

        return act

    for number in range(10):
        a, b, c = (f"{name}{number}" for name in "abc")
        said = at_once(app, alias(a, b), alias(b, c))

        assert sorted(map(str, said)) == ["None", "alias_of"]


def test_rules_of_one_group_laid_down_at_once_agree_on_its_reference(committed, app):
    def lays(model, reference):
        def act():
            lay_down(model, group="g", reference=reference)
            db.session.commit()

        return act

    at_once(app, *(lays(f"m{number}", 1000 * (number + 1)) for number in range(6)))

    assert len({row["reference_tokens"] for row in rows("model_rules")}) == 1


def test_a_change_is_known_when_the_time_is_up_and_not_before(committed):
    book = RuleBook(0.5, STANDARD_REFERENCE)
    assert book.of("m").group == "m"
    read_at = time.monotonic()
    lay_down("m", group="g")
    db.session.commit()

    if (found := book.of("m").group) != "m":
        assert time.monotonic() - read_at >= 0.4  # the machine was busy
        assert found == "g"
    time.sleep(0.5)

    assert book.of("m").group == "g"
    assert book.of("n") == Rule("n", "n", STANDARD_REFERENCE)


def test_a_book_and_a_transaction_read_the_same(committed):
    lay_down("a", group="g", weights=(1, 2, 3), reference=5000)
    rule_changes.make_alias("fast", "a")
    lay_down("b", group="g")
    db.session.commit()

    book = RuleBook(60, STANDARD_REFERENCE)

    for model in ("a", "b", "fast", "g", "m"):
        assert book.of(model) == rule(model)
