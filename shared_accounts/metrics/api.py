"""`/metrics`, for Prometheus: what this web server's workers have counted, and what the servers know."""

from __future__ import annotations

from collections.abc import Iterator
from hmac import compare_digest
from ipaddress import ip_address

from flask import Response, request
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from shared_accounts.config import Settings
from shared_accounts.errors import Forbidden, NotSignedIn
from shared_accounts.json_bodies import Door
from shared_accounts.metrics import rows
from shared_accounts.metrics.board import board
from shared_accounts.metrics.catalogue import CATALOGUE
from shared_accounts.requests_in import settings

blueprint = Door("metrics", __name__, description="How is it doing?")

_HOPS = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP", "Forwarded", "Via")


@blueprint.get("/metrics")
@blueprint.response(200, {"type": "string"}, description="Prometheus' text format.", content_type="text/plain")
@blueprint.refuses(401, 403)
def metrics() -> Response:
    """Show the metrics to whoever has one of `METRICS_TOKEN`; while that is empty, to programs on this machine."""
    _let_in(settings())
    return Response(generate_latest(_Everything()), content_type=CONTENT_TYPE_PLAIN_0_0_4)


class _Everything(Collector):
    def collect(self) -> Iterator[Metric]:
        """Yield each family once."""
        reading = board.read()
        yield from (meter.family(reading) for meter in CATALOGUE)
        yield from rows.families(settings())


def _let_in(limits: Settings) -> None:
    if limits.metrics_token:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not any(_same(given.strip(), token) for token in limits.metrics_token):
            raise NotSignedIn
    elif not _comes_from_this_machine():
        raise Forbidden("Metrics are for programs on this machine, or for whoever has METRICS_TOKEN.")


def _same(given: str, token: str) -> bool:
    return compare_digest(given.encode("utf-8", "surrogateescape"), token.encode())


def _comes_from_this_machine() -> bool:
    """Tell whether the peer itself is local and speaks for nobody else, as a proxy on this machine would."""
    original = request.environ.get("werkzeug.proxy_fix.orig", request.environ)
    try:
        peer = ip_address(original.get("REMOTE_ADDR") or "")
    except ValueError:
        return False
    local = (getattr(peer, "ipv4_mapped", None) or peer).is_loopback
    return local and not any(hop in request.headers for hop in _HOPS)
