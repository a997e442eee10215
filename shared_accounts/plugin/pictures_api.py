"""/api/plugin-api/v1beta: images, in Gemini's own shape, wherever the pool can make them."""

from __future__ import annotations

from typing import Any

from flask import Response, g, jsonify

from shared_accounts.auth import throttle
from shared_accounts.auth.guards import refuse_silenced, signed_in
from shared_accounts.errors import ServiceError
from shared_accounts.json_bodies import Door
from shared_accounts.plugin import answer_schemas as told
from shared_accounts.plugin.api import answering
from shared_accounts.plugin.schemas import BAD_BODY, PicturesWanted
from shared_accounts.users import standing

blp = Door("plugin-pictures", __name__, url_prefix="/api/plugin-api/v1beta", description="Images, as Gemini makes them")

_GEMINI_STATUS = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


@blp.post("/models/<path:model>:generateContent")
@signed_in
@blp.arguments(PicturesWanted, error_status_code=BAD_BODY)
@blp.response(200, told.PicturesAnswer)
@blp.refuses(400, 404, 422, 429, 502, 503, 504)
def generate_content(body: dict[str, Any], model: str) -> Response:
    """Make images, in Gemini's own shape; may take ten minutes. A refusal holds Gemini's `error`, too."""
    refuse_silenced()
    per_minute = standing.allowance(g.person.id).requests_per_minute
    if per_minute:
        throttle.chat(g.person.id, per_minute)
    try:
        with answering() as pool:
            return jsonify(pool.generate_content(g.person.id, model, body))
    except ServiceError as refusal:
        status = _GEMINI_STATUS.get(int(refusal.status), "INTERNAL")
        refusal.details["error"] = {"code": int(refusal.status), "message": refusal.message, "status": status}
        raise
