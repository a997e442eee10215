"""How a page is asked for: by whom, from where, and what goes with the answer.

Invariant: a signed-in person's cookie opens the pages here and nothing else; under `/api` and `/v1` it counts for
nothing, so no other site can use it there. A view behind `page` or `act` knows `g.person`; `act` and `open_act` have
seen the form's token.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any, ParamSpec

from flask import Blueprint, Response, redirect, url_for
from werkzeug.wrappers import Response as Answer

from shared_accounts.accounts import oauth_api
from shared_accounts.asked import Asked, asked
from shared_accounts.auth import guards
from shared_accounts.auth.browser_api import wants_page
from shared_accounts.console import cookies, csrf, refused
from shared_accounts.errors import NotSignedIn

P = ParamSpec("P")
View = Callable[P, Any]

blueprint = Blueprint(
    "console", __name__, template_folder="templates", static_folder="static", static_url_path="/assets"
)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
_ANSWER = ("code", "state", "error")
_NEWS = ("sign_in_code", "sign_in_error")
_FILES = ("console.static", "console.kept")
_PROGRAMS = ("/api", "/v1", "/assets", "/metrics")


def page(rule: str) -> Callable[[View[P]], View[P]]:
    """Show something to whoever is signed in."""
    return lambda view: blueprint.get(rule)(_signed_in(view))


def act(rule: str) -> Callable[[View[P]], View[P]]:
    """Do what a form asks for."""
    return lambda view: blueprint.post(rule)(_signed_in(_from_here(view)))


def open_page(rule: str) -> Callable[[View[P]], View[P]]:
    """Show something to anybody."""
    return blueprint.get(rule)


def open_act(rule: str) -> Callable[[View[P]], View[P]]:
    """Do what anybody's form asks for; `g.person` is there if somebody is signed in."""
    return lambda view: blueprint.post(rule)(_perhaps_signed_in(_from_here(view)))


def is_signed_in() -> bool:
    """Tell whether the browser has a live session; if so, `g.person` says whose."""
    try:
        _identify()
    except NotSignedIn:
        return False
    return True


def check_again() -> None:
    """Ask once more whether the session is live, in an answer that has begun; raises `NotSignedIn` if it is over.

    What has ended is not renewed: there is no telling the browser any more.
    """
    cookies.present()
    _enter()


def back(endpoint: str, **values: Any) -> Answer:
    """Answer a form that was served: the browser asks for a page anew, and reloading it does nothing again."""
    return redirect(url_for(f"console.{endpoint}", **values), 303)


def _signed_in(view: View[P]) -> View[P]:
    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
        _identify()
        return view(*args, **kwargs)

    return guarded


def _perhaps_signed_in(view: View[P]) -> View[P]:
    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
        is_signed_in()
        return view(*args, **kwargs)

    return guarded


def _from_here(view: View[P]) -> View[P]:
    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
        csrf.check()
        return view(*args, **kwargs)

    return guarded


def _identify() -> None:
    cookies.present()
    try:
        _enter()
    except NotSignedIn:
        cookies.renew()
        _enter()


@guards.signed_in
def _enter() -> None:
    """Leave word in `g.person`."""


@blueprint.before_app_request
def _receive() -> Answer | None:
    """Show browsers the way in at `/`, and the way on from a provider; programs get there what they always got."""
    request = asked()
    if request.method not in {"GET", "HEAD"} or request.path not in {"/", oauth_api.CALLBACK} or not wants_page():
        return None
    if request.path == oauth_api.CALLBACK:
        answer = {name: request.args[name] for name in _ANSWER if name in request.args}
        return back("consented", **answer) if cookies.read(cookies.RENEWAL) else None
    news = {name: request.args[name] for name in _NEWS if name in request.args}
    return back("returned", **news) if news else back("overview")


@blueprint.after_app_request
def _send(response: Response) -> Response:
    request = asked()
    is_page = request.blueprint == blueprint.name and request.endpoint not in _FILES
    if _is_for_a_reader(request, response):
        response, is_page = refused.as_page(response), True
    if is_page:
        response.headers.update(_HEADERS)
        response.vary.update(("Cookie", "Accept-Language"))
        csrf.remember(response)
    return cookies.hand_over(response)


def _is_for_a_reader(request: Asked, response: Response) -> bool:
    if response.status_code < HTTPStatus.BAD_REQUEST or not response.is_json or not wants_page():
        return False
    return request.blueprint == blueprint.name or not request.path.startswith(_PROGRAMS)
