"""What an alert says, in English and in Chinese: sentences over its details, nothing that is secret. Pure."""

# ruff: noqa: RUF001 - Chinese has punctuation of its own

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SAID = {
    "quota_low": (
        "Little quota left for {model_group}",
        "{balance} of {capacity} units are left; {refill_per_hour} come back each hour.",
        "{model_group} 的额度所剩不多：剩余 {balance} / {capacity} 单位，每小时回补 {refill_per_hour}。",
    ),
    "account_needs_sign_in": (
        "{account} needs you to sign in again",
        "Its upstream refuses the credential. Until you renew it, the account serves nobody and its refill rests.",
        "账号 {account} 需要重新登录：上游拒绝了它的凭据。在你更新之前，它不提供服务，回补也暂停。",
    ),
    "account_broken": (
        "{account} is broken",
        "It has failed for so long that it was taken out of service. It is asked again from time to time.",
        "账号 {account} 已失效：它长时间出错，已停止服务。系统会不时再次尝试。",
    ),
    "credential_expiring": (
        "The credential of {account} ends",
        "It is good until {expires_at} and cannot be renewed without you.",
        "账号 {account} 的凭据将在 {expires_at} 到期，需要你来更新。",
    ),
    "key_expiring": (
        "Your API key {key} ends",
        "It is good until {expires_at}. Tools that use it will be refused from then on.",
        "你的 API 密钥 {key} 将在 {expires_at} 到期，此后使用它的工具会被拒绝。",
    ),
    "ledger_broken": (
        "The ledger does not balance",
        "Broken invariants: {problems}. The command flask quotas verify names them.",
        "账本不平：有 {problems} 处不成立。命令 flask quotas verify 会逐一列出。",
    ),
    "job_failing": (
        "The job {job} keeps failing",
        "It has failed {failures} times in a row. The worker's log says why.",
        "任务 {job} 连续失败 {failures} 次，原因见 worker 的日志。",
    ),
    "test": (
        "This is a test",
        "You asked for it: alerts arrive here.",
        "这是一次测试：提醒会送到这里。",
    ),
}


def title(kind: str, details: Mapping[str, Any]) -> str:
    """Say in a line what has happened."""
    return " ".join(_SAID[kind][0].format_map(details).split())


def sentence(kind: str, details: Mapping[str, Any]) -> str:
    """Say what it means."""
    return _SAID[kind][1].format_map(details)


def in_chinese(kind: str, details: Mapping[str, Any]) -> str:
    """Say both in Chinese."""
    return _SAID[kind][2].format_map(details)
