"""What the gateway's doors do when a call has an Idempotency-Key: claim it, serve, and count what was charged."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from flask import Flask, Response, current_app, request
from sqlalchemy.exc import SQLAlchemyError

from shared_accounts.extensions import db
from shared_accounts.gateway import idempotency
from shared_accounts.gateway.attempts import new_id
from shared_accounts.gateway.idempotency import HEADER, Attempt
from shared_accounts.requests_in import settings

log = logging.getLogger(__name__)


def serve_once(user_id: int, body: bytes, serve: Callable[[str], Response]) -> Response:
    """Have `serve` answer as the exchange of this id, unless the key in the request's header says no.

    Raises `KeyInUse` or `KeyMisused` before anything is opened.
    """
    key = request.headers.get(HEADER, "")
    call = idempotency.attempt(settings().secret_key, user_id, key, _request_as_sent(body), new_id())
    idempotency.claim(call)
    db.session.commit()
    conclude = partial(_conclude, current_app._get_current_object(), call)  # type: ignore[attr-defined] # noqa: SLF001
    try:
        response = serve(call.exchange_id)
    except BaseException:
        conclude()
        raise
    response.call_on_close(conclude)  # after the exchange has closed
    return response


def _request_as_sent(body: bytes) -> bytes:
    """Return what makes two requests the same: where they go and what they say, but not how a form is cut up."""
    boundary = request.mimetype_params.get("boundary", "").encode()
    return request.path.encode() + b"\n" + (body.replace(boundary, b"") if boundary else body)


def _conclude(app: Flask, call: Attempt) -> None:
    """Count the exchange now that its answer is over; while PostgreSQL is away that is left to the worker."""
    with app.app_context():
        try:
            idempotency.conclude(call)
            db.session.commit()
        except SQLAlchemyError as error:
            log.warning("exchange not counted", extra={"exchange_id": call.exchange_id, "error": type(error).__name__})
