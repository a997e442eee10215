"""What may happen in one life of the machine in `test_machine.py`, and how often.

Few users, credentials and model groups, so that whatever can get into each other's way does. What is to happen
"exactly" meets a bound to the micro-unit: all of it, one more, one less.
"""

from __future__ import annotations

from hypothesis import strategies as st

from shared_accounts.accounts.models import OUT_OF_SERVICE
from shared_accounts.config import MICRO
from tests.quotas.reckoning import REFERENCE

GROUPS = ("m", "org/n")
USERS, CREDENTIALS = 3, 5

which = st.integers(0, 11)
users = st.integers(0, USERS - 1)
pairs = st.permutations(range(USERS))
groups = st.sampled_from(GROUPS)
amounts = st.integers(1, 900_000) | st.sampled_from([1, 400_000, MICRO, 2 * MICRO, 2 * MICRO + 1])
estimates = st.integers(1, 500_000) | st.sampled_from([MICRO, 2 * MICRO])
beyond = st.sampled_from([0, 1, 0, 1, -1])
allowances = st.sampled_from([1, 333_333, REFERENCE, REFERENCE + 1, 10**12])
models = st.sets(groups, min_size=1)
sharing = st.sampled_from(["shared", "dedicated"])

# One rule for all: Hypothesis leaves out many rules of several in each life, and what goes wrong takes many things.
EVENTS = st.one_of(
    st.tuples(st.just("chat"), users, which, groups, estimates, st.just(0) | estimates),
    st.tuples(st.just("chat"), users, which, groups, estimates, amounts),
    st.tuples(st.just("chat_at_home"), users, which, groups, estimates, amounts),
    st.tuples(st.just("open"), users, which, groups, estimates),
    st.tuples(st.just("open_exactly"), users, which, groups, beyond),
    st.tuples(st.just("open_anywhere"), users, which, groups, estimates),
    st.tuples(st.just("contribute"), users, st.integers(0, CREDENTIALS - 1), sharing, models, allowances),
    st.tuples(st.just("bring_again"), which, users, models, allowances),
    st.tuples(st.just("change"), which, st.fixed_dictionaries({"sharing": sharing})),
    st.tuples(st.just("change"), which, st.fixed_dictionaries({"models": models})),
    st.tuples(st.just("change"), which, st.fixed_dictionaries({"allowance_tokens": allowances})),
    st.tuples(st.just("change_standing"), which, st.sampled_from(["active", "active", *OUT_OF_SERVICE])),
    st.tuples(st.just("withdraw"), which),
    st.tuples(st.just("finish_draining")),
    st.tuples(st.just("move_to_another_account"), which, which),
    st.tuples(st.just("end"), which, st.just(0) | amounts),
    st.tuples(st.just("end_exactly"), which, beyond),
    st.tuples(st.just("end_again"), which, amounts),
    st.tuples(st.just("crash"), which),
    st.tuples(st.just("close_abandoned")),
    st.tuples(st.just("give"), pairs, groups, amounts),
    st.tuples(st.just("give_exactly"), pairs, groups, st.just("room"), beyond),
    st.tuples(st.just("give_exactly"), pairs, groups, st.sampled_from(["free", "left today"]), beyond),
    st.tuples(st.just("correct"), users, groups, amounts | amounts.map(lambda amount: -amount)),
    st.tuples(st.just("correct_exactly"), users, groups, st.sampled_from(["free", "room"]), beyond),
    st.tuples(st.just("time_passes"), st.integers(1, 9)),
    st.tuples(st.just("refill"), st.sampled_from([0, 0, 2, -3])),
)


class NothingThereError(Exception):
    """What should happen has nothing to happen to."""


def one_of(things, n):
    """The n-th of these, counted in a circle."""
    if not things:
        raise NothingThereError
    return things[n % len(things)]
