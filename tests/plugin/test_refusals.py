"""What each failure of the Plug-in API becomes for the person who asked."""

from __future__ import annotations

import pytest
from flask import Flask

from shared_accounts import refusals as renderers
from shared_accounts.plugin import refusals
from shared_accounts.plugin.failures import Kind, PluginRefused, PluginUnreachable

NO_ACCOUNT = "没有可用的账号\uff0c请添加账号"
NO_QUOTA = "所有账号对模型 gemini-2.5-pro 的配额已耗尽或用户共享配额不足"

KNOWN = [
    (NO_ACCOUNT, Kind.NO_ACCOUNT, 503, "NO_ACCOUNT_AVAILABLE", None),
    ("没有可用的账号", Kind.NO_ACCOUNT, 503, "NO_ACCOUNT_AVAILABLE", None),
    (NO_QUOTA, Kind.NO_QUOTA, 429, "PLUGIN_LIMITED", None),
    ("已尝试5次\uff0c所有cookie的配额都已耗尽", Kind.NO_QUOTA, 429, "PLUGIN_LIMITED", None),
    ("所有账号配额已耗尽\uff0c请稍后再试", Kind.NO_QUOTA, 429, "PLUGIN_LIMITED", None),
    ("RESOURCE_EXHAUSTED", Kind.NO_QUOTA, 429, "PLUGIN_LIMITED", None),
    ("Invalid or expired state parameter", Kind.STATE, 400, "INVALID_OAUTH_STATE", "callback_url"),
    ('HTTP 400: {"error": "invalid_grant"}', Kind.GRANT, 422, "ACCOUNT_NEEDS_SIGN_IN", None),
    ("此邮箱已被添加过: ada@example.org", Kind.DUPLICATE, 409, "ALREADY_EXISTS", None),
    ("此账号没有资格使用Antigravity: INELIGIBLE_ACCOUNT", Kind.INELIGIBLE, 422, "ACCOUNT_INELIGIBLE", "callback_url"),
    ("配额记录不存在: cookie_id=c, model_name=m", Kind.NO_ROW, 404, "NOT_FOUND", None),
    ("用户不存在: user_id=u", Kind.NO_USER, 502, "PLUGIN_FAILED", None),
    ("invalid input syntax for type uuid: canary", Kind.OTHER, 502, "PLUGIN_FAILED", None),
    ("无法获取配额信息", Kind.OTHER, 502, "PLUGIN_FAILED", None),
    ("", Kind.OTHER, 502, "PLUGIN_FAILED", None),
]


@pytest.mark.parametrize(("message", "kind", "status", "code", "field"), KNOWN)
def test_what_comes_as_500_is_told_apart_by_its_words(message, kind, status, code, field):
    failure = PluginRefused(500, message)

    ours = refusals.explain(failure)

    assert failure.kind is kind
    assert (ours.status, ours.code, ours.field) == (status, code, field)


@pytest.mark.parametrize("message", [row[0] for row in KNOWN if row[0]])
def test_the_words_of_a_fault_are_never_passed_on(message):
    ours = refusals.explain(PluginRefused(500, message))

    assert message not in ours.message
    assert ours.message.isascii()
    assert "ada@" not in ours.message


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "INVALID_REQUEST"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (409, "ALREADY_EXISTS"),
        (413, "BODY_TOO_LARGE"),
        (422, "VALIDATION_ERROR"),
        (429, "PLUGIN_LIMITED"),
    ],
)
def test_a_refusal_of_the_request_is_passed_on_with_its_words(status, code):
    ours = refusals.explain(PluginRefused(status, "status必须是0或1"))

    assert (ours.status, ours.code, ours.message) == (status, code, "status必须是0或1")


@pytest.mark.parametrize("status", [400, 403, 409, 413, 422, 429])
def test_a_refusal_without_words_says_something_all_the_same(status):
    ours = refusals.explain(PluginRefused(status))

    assert ours.status == status
    assert len(ours.message) > 10


def test_a_missing_route_is_not_a_missing_thing():
    assert refusals.explain(PluginRefused(404)).code == "PLUGIN_FAILED"


@pytest.mark.parametrize("message", ["无效的API Key", "缺少Authorization请求头", "", "没有可用的账号"])
def test_its_401_signs_nobody_out(message):
    ours = refusals.explain(PluginRefused(401, message))

    assert (ours.status, ours.code) == (502, "PLUGIN_AUTH_FAILED")
    assert ours.message.isascii()


@pytest.mark.parametrize("status", [200, 402, 405, 418, 431, 451, 501, 502, 503, 504, 599, 999])
def test_any_other_status_is_a_fault_of_its_own(status):
    ours = refusals.explain(PluginRefused(status, "canary"))

    assert (ours.status, ours.code) == (502, "PLUGIN_FAILED")
    assert "canary" not in ours.message


@pytest.mark.parametrize("status", [200, 500, 503])
def test_known_words_count_whatever_the_fault_is_numbered(status):
    assert refusals.explain(PluginRefused(status, NO_QUOTA)).status == 429


def test_silence_is_a_504_and_everything_else_a_502():
    silent, away = refusals.explain(PluginUnreachable(timed_out=True)), refusals.explain(PluginUnreachable())

    assert (silent.status, silent.code) == (504, "PLUGIN_TIMEOUT")
    assert (away.status, away.code) == (502, "PLUGIN_UNREACHABLE")


@pytest.mark.parametrize("status", [429, 500])
def test_a_wait_that_was_named_is_named_to_the_caller(status):
    assert refusals.explain(PluginRefused(status, NO_QUOTA, retry_after=7)).retry_after == 7


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("INELIGIBLE_ACCOUNT", "(INELIGIBLE_ACCOUNT)"),
        ("NO_PROJECT_AND_FREE_TIER", "(NO_PROJECT_AND_FREE_TIER)"),
        ("<script>", "here."),
        ("ada@example.org", "here."),
    ],
)
def test_why_an_account_is_not_eligible_is_said_if_it_is_a_code(said, shown):
    ours = refusals.explain(PluginRefused(500, f"此账号没有资格使用Antigravity: {said}"))

    assert ours.message.endswith(shown)


def test_words_far_into_a_long_message_are_still_known():
    assert PluginRefused(500, "x" * 1000 + "invalid_grant").kind is Kind.GRANT


def test_the_front_end_finds_the_words_in_detail():
    with Flask(__name__).test_request_context("/api/plugin-api/accounts/c"):
        response = renderers.render(refusals.explain(PluginRefused(404, "账号不存在")))

    assert response.status_code == 404
    assert response.json["detail"] == "账号不存在"
    assert response.json["error_code"] == "NOT_FOUND"


def test_its_401_asks_nobody_for_another_credential():
    with Flask(__name__).test_request_context("/api/plugin-api/accounts"):
        response = renderers.render(refusals.explain(PluginRefused(401)))

    assert response.status_code == 502
    assert "WWW-Authenticate" not in response.headers
