"""Talking in a real browser: from nothing to an answer that appears in the log by itself; and what an answer may hold."""

from __future__ import annotations

import json

import pytest

from shared_accounts.config import MICRO
from shared_accounts.console import live
from shared_accounts.extensions import db
from tests import factories
from tests.console.browser import DESK, MAY_BE_LEFT_OUT, PHONE, opened
from tests.gateway.scene import wait_until
from tests.upstream import Upstream, answers, chunk, event, plays, refuses, says

pytestmark = pytest.mark.skipif(MAY_BE_LEFT_OUT, reason="no Chromium here: THE CONSOLE WAS NOT LOOKED AT IN A BROWSER")

MODELS = json.dumps({"object": "list", "data": [{"id": "m"}]}).encode()

MARKDOWN = """\
# Steps <img src=x onerror=alert(1)>

1. **bold** and `code <script>`
2. [a page](https://example.com/a?b=c&d) and [a trap](javascript:alert(1))
   - nested *one*

| a | b |
|---|---|
| 1 | <b>2</b> |

> said <svg onload=alert(1)>

```html
<script>alert(1)</script>
```
![picture](https://evil.example/track.png) https://example.com/plain. end
"""


def lists_or(act):
    """A server that lists its model and plays the act for whoever chats."""
    return lambda turn: says(MODELS)(turn) if turn.request.method == "GET" else act(turn)


def streams_text(text):
    """Stream a text in small pieces, to the byte."""
    pieces = [event(chunk({"content": text[start : start + 7]})) for start in range(0, len(text), 7)]
    return plays([*pieces, event(chunk({}, "stop")), b"data: [DONE]\n\n"])


@pytest.fixture
def upstream(app, monkeypatch):
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.1)
    made = Upstream(lists_or(answers("Hello there")))
    yield made
    app.extensions["wire"].sweep()
    made.stop()


@pytest.fixture
def talking(chromium, home, upstream):
    """Somebody on the playground, who pays for what she asks of another's account."""
    user = factories.user(username="nora", password=factories.PASSWORD)
    factories.account(factories.user(username="Marta"), base_url=upstream.url, models=["m"])
    factories.quota_pool(user, balance=2 * MICRO)
    watched = opened(chromium, home, PHONE, "light", "en")
    watched.sign_in("nora", factories.PASSWORD)
    watched.go("/playground")
    yield watched
    watched.page.context.close()


def ask(page, text="Say hello."):
    page.fill("#say", text)
    page.keyboard.press("Enter")


def test_from_the_entrance_to_a_key_and_to_an_answer_that_appears_in_the_log(chromium, home, upstream):
    name = factories.user(username="nora", password=factories.PASSWORD).username
    factories.account(factories.user(username="Marta"), base_url=upstream.url, models=["m"])
    db.session.commit()
    watched = opened(chromium, home, PHONE, "light", "en")
    page = watched.page

    watched.sign_in(name, factories.PASSWORD)
    brings_an_account(page, upstream)
    page.click("text=Pause")  # or her own would serve her, and no quota would move
    secret, told = makes_a_key(page)
    assert secret.startswith("sk-")
    assert f"OPENAI_API_KEY={secret}" in told
    assert f"OPENAI_API_BASE={home}/v1" in told

    page.set_viewport_size(DESK)
    log = page.context.new_page()
    log.goto(f"{home}/usage")
    assert "Nothing today" in log.text_content("main")
    log.click("[data-live]")
    log.wait_for_selector("[data-live][aria-pressed=true]")
    page.click(".side a[href='/playground']")
    ask(page)
    page.wait_for_selector(".after >> text=0.0003 units, measured")
    assert page.text_content("[data-text]").strip() == "Hello there"
    row = log.wait_for_selector("[data-rows] tr")
    assert "m" in row.text_content()
    assert "Marta" in row.text_content()
    page.click(".after a")
    page.wait_for_url("**/usage/*")
    assert "Answered in" in page.text_content(".answer")
    page.click(".side a[href='/quota']")
    assert "1.9997" in page.text_content(".sums")
    page.click(".side a[href='/overview']")
    page.wait_for_selector("text=They balance.")
    page.context.close()

    assert watched.complaints == []


def brings_an_account(page, upstream):
    page.click("main a[href='/accounts/new']")
    page.wait_for_selector("dialog[open]")
    page.select_option("dialog #preset", "custom")
    page.fill("dialog #base_url", upstream.url)
    page.fill("dialog #api_key", "sk-upstream-0123456789abcdefghij")
    page.fill("dialog #name", "Garden")
    page.click("dialog .btn-primary")
    page.check("input[name=sharing][value=shared]")
    page.click("text=Add the account")
    page.wait_for_url("**/accounts/*said=contributed")


def makes_a_key(page):
    """Make one; returns it, and what stands there for a tool."""
    page.click(".tabs a[href='/keys']")
    page.click("main a[href='/keys/new']")
    page.fill("dialog #name", "laptop")
    page.click("dialog .btn-primary")
    secret = page.text_content("#fresh")
    page.click("label:has-text('aider')")
    return secret, page.text_content(".snippet:visible")


def test_what_a_model_writes_is_shown_and_never_run(talking, upstream):
    upstream.plays(streams_text(MARKDOWN))
    page = talking.page
    ask(page)
    page.wait_for_selector(".after")
    place = page.locator("[data-text]")

    assert place.locator("h3").text_content() == "Steps <img src=x onerror=alert(1)>"
    assert place.locator("ol > li").count() == 2
    assert place.locator("ol ul li em").text_content() == "one"
    assert place.locator("strong").text_content() == "bold"
    assert place.locator("li code").text_content() == "code <script>"
    assert place.locator("td").all_text_contents() == ["1", "<b>2</b>"]
    assert place.locator("blockquote").text_content() == "said <svg onload=alert(1)>"
    assert place.locator("pre").text_content() == "<script>alert(1)</script>"
    links = {one.get_attribute("href") for one in place.locator("a").all()}
    assert links == {"https://example.com/a?b=c&d", "https://evil.example/track.png", "https://example.com/plain"}
    assert place.locator("img, script, svg, iframe").count() == 0
    assert not talking.scrolls_sideways()
    assert talking.complaints == []


def test_stopping_hangs_up_and_settles(talking, upstream):
    upstream.plays(answers("one two three four five six seven eight nine ten " * 20, delay=0.1))
    page = talking.page
    ask(page)
    page.wait_for_selector("[data-text] >> text=two")
    page.click("[data-stop]")
    page.wait_for_selector(".after >> text=partial")

    assert upstream.requests[0].gone.wait(20)
    assert page.text_content(".cut") == "Stopped."
    assert page.evaluate("document.activeElement.id") == "say"
    assert db.session.execute(
        db.text("select outcome, (select sum(reserved) from quota_pools) from usage_log")
    ).one() == (
        "client_left",
        0,
    )
    assert talking.complaints == []


def test_a_refusal_is_an_answer_in_the_talk(talking, upstream):
    upstream.plays(refuses(429, retry_after=300))
    page = talking.page
    ask(page)
    told = page.wait_for_selector(".said-by .callout")

    assert "It is the provider\u2019s limit, not ours." in told.text_content()
    assert page.input_value("#say") == "Say hello."
    assert [one for one in talking.complaints if "429" not in one] == []


def test_a_talk_goes_on_and_begins_anew(talking, upstream):
    page = talking.page
    ask(page)
    page.wait_for_selector(".after")
    ask(page, "And now?")
    page.locator(".after").nth(1).wait_for()
    page.click("[data-anew]")
    ask(page, "Afresh.")
    page.wait_for_selector(".after")

    assert [[one["role"] for one in request.json["messages"]] for request in upstream.requests] == [
        ["user"],
        ["user", "assistant", "user"],
        ["user"],
    ]


def test_nobody_listens_while_nobody_looks(talking, monkeypatch):
    monkeypatch.setattr(live, "_BREATH", 1)
    page = talking.page
    talking.go("/usage?period=7d")
    with page.expect_response("**/usage/live*"):
        page.click("[data-live]")
    assert live.listening
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {value: true});document.dispatchEvent(new Event('visibilitychange'))"
    )

    wait_until(lambda: not live.listening, "the stream is still open")
    assert page.get_attribute("[data-live]", "aria-pressed") == "true"
    assert talking.complaints == []
