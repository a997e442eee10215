"""What the console says in Chinese about what it cannot use or do: no sentence of a library's, and none in English."""

from __future__ import annotations

import re

import pytest
from markupsafe import Markup
from werkzeug.exceptions import default_exceptions

from shared_accounts.auth import factors
from shared_accounts.auth.models import SecondFactor
from shared_accounts.console import refused
from shared_accounts.console.language import catalogue, say_why
from shared_accounts.console.sentences import FILLED, SEVERAL, UNFIT
from shared_accounts.errors import ServiceError
from shared_accounts.extensions import db
from tests import factories
from tests.accounts.oauth_server import OAuthServer
from tests.auth.flow import offering
from tests.auth.linux_do import LinuxDo
from tests.console import crowd, places, world
from tests.console.reader import PAGE

SPOILT = ["", "x", "-1", "0", "9" * 14, "9.9999999999", "x" * 6_000, "\u202e", "2020-01-01"]
"""What stands in all fields at once: nothing, words for numbers, too little, too much, what nobody can read."""

WITHOUT_FIELDS = {
    f"console.{name}" for name in ("end_session", "unlink_identity", "reset_factor", "follow_provider", "answer")
}
"""A button each, which nobody can fill in badly, on pages that the world here has not; and the playground's script."""

SAID = re.compile(r'<(\w+) [^>]*class="(?:field-error|callout-text)"[^>]*>(.*?)</(?:p|div)>', re.DOTALL)
HAN, ENGLISH = re.compile("[\u4e00-\u9fff]"), re.compile("[a-z]{2,} [a-z]{2,}")
NOT_ON_PAGES = ("shared_accounts.gateway", "shared_accounts.plugin")


@pytest.fixture
def forms(app, signed_in, reader, session, upstream, with_settings):
    """Every form there is, by where it goes, each with a browser that may send it."""
    lin = world.settled(username="Lin Wei", role="admin")
    crowd.gathered(lin)
    linux_do, acme = LinuxDo(), OAuthServer()
    with offering(app, linux_do), with_settings(registration="invite", upstream_oauth_providers=(acme.provider(),)):
        browser = signed_in(lin, lang="zh")
        paths = {**places.every(), **places.consents(), **places.strangers()}
        pages = [(browser, browser.get(path)) for path in paths.values()]
        for page, action, given in places.answers(upstream.url).values():
            pages.append((browser, browser.post(action, {**browser.get(page).form(action).fields, **given})))
        pages += with_two_factors(app, signed_in, reader)
        there = app.url_map.bind("localhost")
        found = [(who, form) for who, page in pages for form in page.forms if form.method == "post"]
        yield {there.match(form.action.partition("?")[0], "POST")[0]: (who, form) for who, form in found}
    app.extensions["wire"].sweep()
    linux_do.stop()
    acme.stop()


def with_two_factors(app, signed_in, reader):
    nora = factories.user(username="nora", password=factories.PASSWORD)
    browser = signed_in(nora, lang="zh")
    factors.begin(nora.id, nora.username, app.extensions["vault"])
    db.session.get(SecondFactor, nora.id).confirmed_at = factories.ago(days=1)
    db.session.commit()
    reader.client.set_cookie("lang", "zh")
    entrance = reader.get("/sign-in")
    return [
        (browser, browser.get("/profile/second-factor")),
        (reader, entrance),
        (reader, reader.follow(reader.sign_in("nora"))),
    ]


def test_every_form_that_is_filled_in_badly_says_so_in_the_readers_language(app, forms):
    wrong, told = [], set()
    for endpoint, (browser, form) in forms.items():
        for text in SPOILT if form.written else ():
            answer = browser.post(form.action, {**form.fields, **dict.fromkeys(form.written, text)})
            said = {str(Markup(one[1]).striptags()) for one in SAID.findall(answer.source)} - {""}
            told |= said
            wrong += [(endpoint, text[:20], one) for one in said if not HAN.search(one) or ENGLISH.search(one)]
            if answer.status >= 400 and not said:
                wrong.append((endpoint, text[:20], f"{answer.status}, and no word why"))
    there = {rule.endpoint for rule in app.url_map.iter_rules() if "POST" in rule.methods}

    assert wrong == []
    assert {name for name in there if name.startswith("console.")} - set(forms) == WITHOUT_FIELDS
    assert len(told) > 30


def test_every_page_that_refuses_does_so_in_the_readers_language(app):
    for status, error in default_exceptions.items():
        with app.test_request_context("/nothing", headers={**PAGE, "Accept-Language": "zh-CN"}):
            page = refused.as_page(app.handle_http_exception(error()))
        if status != 401:  # who is not signed in is led to where that is done
            words = str(Markup(page.get_data(as_text=True).partition("<main")[2]).striptags())
            assert not ENGLISH.search(words.replace("shared accounts", "")), (status, words)


def kinds(of=ServiceError):
    for kind in of.__subclasses__():
        yield kind
        yield from kinds(kind)


def test_every_refusal_is_there_in_chinese(app):
    messages = {kind.message for kind in kinds() if not kind.__module__.startswith(NOT_ON_PAGES)}
    ours = {*FILLED, *UNFIT.values(), *SEVERAL.values()}

    assert len(messages) > 25
    assert [one for one in {*messages, *ours} if catalogue("zh").gettext(one) == one] == []


def test_what_a_library_says_of_a_value_becomes_what_to_do_about_it(app):
    with app.test_request_context(headers={"Accept-Language": "en"}):
        assert say_why("Missing data for required field.") == "Fill this in."
        longest = "Must be greater than or equal to 1000 and less than or equal to 1000000."
        assert say_why(longest) == "Write a number from 1,000 to 1,000,000."
        assert say_why("Length must be between 1 and 500.") == "Write 1 to 500 characters."
        assert say_why("Length must be between 1 and 500.", several=True) == "Name 1 to 500."
        assert say_why("This user name is taken.") == "This user name is taken."
