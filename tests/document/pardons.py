"""What schemathesis may hold against an answer that is right all the same, each with the reason.

No check is switched off: a pardon holds for one check, on the operations named, and only while the answer complains of
nothing but what the pardon names. That these rules are enforced has tests elsewhere; here they are merely what a schema
cannot say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

REJECTED, ACCEPTED = "RejectedPositiveData", "AcceptedNegativeData"
BY_THE_SERVER = {414, 431}
"""What gunicorn refuses before anybody else has read it: absurdly long addresses and headers."""
ALLOWED, SERVER_ERROR = "AllowHeaderMismatch", "ServerError"
"""What schemathesis calls its failures."""


@dataclass(frozen=True)
class Pardon:
    """Why an operation may refuse what its schema lets pass, when it complains of these."""

    operations: str
    complaints: str
    reason: str

    def covers(self, label: str, complaint: str) -> bool:
        return bool(re.fullmatch(self.operations, label) and re.fullmatch(self.complaints, complaint))


REFUSED_ALTHOUGH_WELL_FORMED = (
    Pardon(
        r"\w+ /api/auth/.*", "PROVIDER_NOT_CONFIGURED", "which providers there are is the operator's to say, not ours"
    ),
    Pardon(
        r"\w+ /api/auth/.*(callback|exchange)",
        "code|INVALID_OAUTH_STATE|INVALID_CODE|OAUTH_ERROR",
        "what a provider sent back is a credential",
    ),
    Pardon(r"\w+ /api/auth/.*", "password|current_password|code|challenge", "a wrong secret is no wrong form"),
    Pardon(
        r"POST /api/(auth/register|auth/password|admin/users.*)",
        "password|new_password",
        "a password that everybody tries first is refused",
    ),
    Pardon(r"POST /api/auth/register", "invitation_code", "an invitation that is over is refused"),
    Pardon(r"\w+ /api/(api-keys|admin/invitations).*", "expires_at", "it must lie in the next ten years"),
    Pardon(r"\w+ /api/api-keys.*", r"addresses(\.\d+)?", "an address, as its own grammar has it"),
    Pardon(
        r"POST /api/accounts(/try)?|PATCH /api/accounts/.*",
        "base_url|api_key|models",
        "whether there is such an upstream, and serves this, is asked of it; and a preset fills in what is left out",
    ),
    Pardon(r"PATCH /api/accounts/.*", "quiet_from|quiet_until", "quiet hours have a beginning and an end"),
    Pardon(r"POST /api/accounts/import", "file", "a CSV file has columns, of which OpenAPI knows nothing"),
    Pardon(
        r"POST /api/accounts/oauth/authorize",
        "provider|sharing|name|allowance_tokens|window_hours|max_concurrency",
        "which providers there are is the operator's to say; and it is either a new account or one with its terms",
    ),
    Pardon(
        r"POST /api/accounts/oauth/callback",
        "callback_url|code|state|INVALID_OAUTH_STATE",
        "an address, or else its two parts; and what a provider sent back is a credential",
    ),
    Pardon(
        r"POST /api/plugin-api/oauth/callback",
        "callback_url|INVALID_OAUTH_STATE",
        "what a provider sent back is a credential",
    ),
    Pardon(
        r"\w+ /api/(quotas|admin/quotas|accounts|api-keys).*",
        r"units|others_per_day|member_per_day|budgets(\.\w+)?",
        "not nothing, and no finer than we count: a number's last digits are beyond a schema",
    ),
    Pardon(
        r"GET /api/(usage|plugin-api)/.*",
        "start_date|end_date",
        "from 1970 on, and the end not before the beginning",
    ),
    Pardon(
        r"GET /api/usage/.*", "user_id|api_key_id|client_app|endpoint", "what a scope does not show is not asked for"
    ),
    Pardon(r"PUT /api/alerts/preferences", "email|webhook_url", "an address, as its own grammar has it"),
    Pardon(r"PUT /api/admin/accounts/.*", "max_worth", "not nothing, and no finer than we count"),
    Pardon(r"PATCH /api/admin/settings", r"\w+", "spelt as in the environment, whose grammar each setting has"),
    Pardon(
        r"PUT /api/admin/models/.*",
        "alias_of|model_group|reference_tokens|weights|_schema|prompt|completion|cached",
        "an alias has nothing of its own, and something must have a price",
    ),
    Pardon(r"\w+ /api/.*", r"A number is out of range\.", "a schema's numbers have no end, a bigint's have one"),
    Pardon(r"POST /api/(auth/register|admin/users)", "username", "a name of nothing that can be seen is none"),
    Pardon(r"POST /api/admin/prices", "input|output|cached|valid_from", "no finer than we count, and from 1970 on"),
    Pardon(r"PUT /api/admin/models/.*", "model", "a model's name has no control characters, also in a path"),
    Pardon(r"POST /v1/(messages|messages/count_tokens)", r"(messages|system)\..*|messages", "Anthropic's own grammar"),
    Pardon(r"POST /v1/responses", r"input\[\d+\].*", "OpenAI's own grammar for items"),
)


def forgives(failure: str, label: str, case: Any, answer: Any) -> bool:
    """Tell whether an answer that a check finds fault with is right all the same."""
    if failure == REJECTED and answer.status_code in {400, 422}:
        found = set(_complaints(json.loads(answer.content)))
        return bool(found) and all(
            any(pardon.covers(label, complaint) for pardon in REFUSED_ALTHOUGH_WELL_FORMED) for complaint in found
        )
    if failure == ACCEPTED and answer.status_code == 200:
        return _has_an_empty_filter(case) or _is_refused_row_by_row(label, answer)
    if answer.status_code in BY_THE_SERVER:
        return failure in {ACCEPTED, "UndefinedStatusCode", "UndefinedContentType"}
    if failure == "UseAfterFree":
        return _is_back_to_the_standard(label, answer)
    if failure == SERVER_ERROR:
        return _needs_a_plugin(label, answer)
    return failure in {ALLOWED, "UnsupportedMethodResponse"} and _is_a_name_as_well(label)


def _is_a_name_as_well(label: str) -> bool:
    """`gifts` may be the name of a model group, and `m:generateContent` a model's: a GET shows what is called so."""
    return label == "POST /api/quotas/gifts" or label.endswith(("{model}:generateContent", ":streamGenerateContent"))


def _has_an_empty_filter(case: Any) -> bool:
    """An empty filter in a query is none, as the schemas' descriptions say: forms send what was not filled in."""
    return case.method == "GET" and any(value in {"", None} for value in (case.query or {}).values())


def _is_refused_row_by_row(label: str, answer: Any) -> bool:
    """A bad row stops no other, so an import that has one is answered with a report that refuses it."""
    return label == "POST /api/accounts/import" and json.loads(answer.content)["refused"] > 0


def _is_back_to_the_standard(label: str, answer: Any) -> bool:
    """What is taken away is the rule that was laid down; a model that accounts serve goes on by the standard one."""
    is_a_model = label == "GET /api/admin/models/{model}"
    return is_a_model and json.loads(answer.content)["laid_down"] is False


def _needs_a_plugin(label: str, answer: Any) -> bool:
    """By the Plug-in API's contract our own pool, which makes no pictures there, has no account for them: a 503."""
    is_for_pictures = label == "POST /api/plugin-api/v1beta/models/{model}:generateContent"
    return is_for_pictures and json.loads(answer.content)["error_code"] == "NO_ACCOUNT_AVAILABLE"


def _complaints(body: dict[str, Any]) -> Iterator[str]:
    """Yield what an answer complains of: fields where it names some, else its code or what its sentence begins with."""
    error = body.get("error", {})
    if body.get("message") == "A number is out of range.":
        yield body["message"]
    elif errors := body.get("errors"):
        for place in errors.values():
            yield from place if isinstance(place, dict) else (str(place),)
    elif details := error.get("details"):
        yield from (one["field"] for detail in details for one in detail.get("fieldViolations", ()))
    elif error:
        yield str(error.get("param") or error.get("code") or error["message"].split()[0])
    else:
        yield str(body.get("error_code"))
