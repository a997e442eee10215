"""Asking a provider: over TLS its certificate counts, and everywhere the time does, as our workers run too."""

from __future__ import annotations

import ipaddress
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from shared_accounts.auth import fetching
from shared_accounts.auth.refused import ProviderUnreachable
from shared_accounts.outbound import transport
from tests.auth.idp import drips_forever, tells
from tests.conftest import ROOT
from tests.upstream import Upstream, stalls_before_the_head


def certificate(folder, *names: x509.GeneralName):
    """A certificate for these names that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(
            subject, subject, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1)
        )
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    path = folder / "certificate.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(secret + made.public_bytes(Encoding.PEM))
    return path


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """A server with a certificate for these names; trusted or not."""
    servers = []

    def start(*names, trusted=True):
        path = certificate(tmp_path, *names)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        if trusted:
            monkeypatch.setenv("SSL_CERT_FILE", str(path))
        servers.append(Upstream(tells({"hello": "there"}), tls=context))
        return servers[-1]

    transport.tls.cache_clear()  # it reads the environment once
    yield start
    transport.tls.cache_clear()
    for server in servers:
        server.stop()


HERE = x509.DNSName("localhost")

GREEN = """
from gevent import monkey
monkey.patch_all()
import sys, time
import gevent
from shared_accounts.auth import fetching
from shared_accounts.auth.refused import ProviderUnreachable
from shared_accounts.outbound import transport
ticks = []
def tick():
    while True:
        ticks.append(1)
        gevent.sleep(0.01)
gevent.spawn(tick)
began = time.monotonic()
try:
    fetching.ask(fetching.visit(0.5), sys.argv[1])
except ProviderUnreachable:
    print("unreachable", time.monotonic() - began < 1.5, len(ticks) > 20)
"""


def test_a_provider_with_a_good_certificate_is_asked(serve):
    server = serve(HERE, x509.IPAddress(ipaddress.ip_address("127.0.0.1")))

    assert fetching.ask(fetching.visit(5), f"https://localhost:{server.port}/who?a=b", bearer="t") == {"hello": "there"}
    (request,) = server.requests
    assert (request.path, request.header("host")) == ("/who?a=b", f"localhost:{server.port}")
    assert request.header("authorization") == "Bearer t"


@pytest.mark.parametrize(("name", "trusted"), [(HERE, False), (x509.DNSName("elsewhere.test"), True)])
def test_a_provider_with_a_bad_certificate_hears_nothing(serve, name, trusted):
    server = serve(name, trusted=trusted)

    with pytest.raises(ProviderUnreachable):
        fetching.ask(fetching.visit(5), f"https://localhost:{server.port}/", bearer="t")
    assert server.requests == []


@pytest.mark.parametrize("act", [stalls_before_the_head, drips_forever])
def test_a_visit_over_tls_ends_when_its_time_is_over(serve, act):
    server = serve(HERE)
    server.plays(act)
    began = time.monotonic()

    with pytest.raises(ProviderUnreachable):
        fetching.ask(fetching.visit(0.4), f"https://localhost:{server.port}/")
    assert time.monotonic() - began < 2


def test_in_a_gevent_worker_too_and_nobody_else_waits(serve):
    server = serve(HERE)
    server.plays(drips_forever)
    url = f"https://localhost:{server.port}/"

    done = subprocess.run(
        [sys.executable, "-c", GREEN, url], check=False, cwd=ROOT, capture_output=True, text=True, timeout=30
    )

    assert done.stdout == "unreachable True True\n", done.stderr


def test_who_speaks_no_tls_is_not_waited_for(serve):
    server = Upstream(tells({}))
    began = time.monotonic()

    with pytest.raises(ProviderUnreachable):
        fetching.ask(fetching.visit(0.4), f"https://localhost:{server.port}/")
    assert time.monotonic() - began < 2
    server.stop()


@pytest.mark.parametrize(
    "url", ["https://localhost:1/", "http://nobody.invalid/", f"http://{'a' * 64}.test/", "http://[::1]:1/"]
)
def test_nobody_there_is_told_as_such(url):
    with pytest.raises((ProviderUnreachable, fetching.BadAnswer)):
        fetching.ask(fetching.visit(5), url)


def test_proxies_of_the_environment_are_not_used(serve, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    server = serve(HERE)

    assert fetching.ask(fetching.visit(5), f"https://localhost:{server.port}/") == {"hello": "there"}


def test_no_time_left_asks_nobody(serve):
    server = serve(HERE)

    with pytest.raises(ProviderUnreachable):
        fetching.ask(fetching.visit(0), f"https://localhost:{server.port}/")
    assert server.requests == []
