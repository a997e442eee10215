"""The table of quality.md 1.6: where we must never be led, by whatever spelling."""

from __future__ import annotations

import ipaddress
import socket

import pytest

from shared_accounts.errors import Unprocessable
from shared_accounts.outbound.addresses import AddressRefused, Guard, Origin, is_public
from shared_accounts.outbound.wire import Unreachable, Wire
from tests.upstream import Upstream

INSIDE = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "100.64.0.1", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
    "192.88.99.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2001:db8::1", "2001::1", "2002:7f00:1::",
    "3fff::1", "fc00::1", "fd12::1", "fe80::1", "fec0::1", "ff02::1",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "2606:4700:4700::1111", "2a00:1450:4001::1"]


@pytest.fixture
def name_server(monkeypatch):
    """What names resolve to, a list of answers each; the last one stays."""
    answers = {}
    real = socket.getaddrinfo

    def resolve(host, port, *args, **kwargs):
        if host not in answers:
            return real(host, port, *args, **kwargs)
        found = answers[host].pop(0) if len(answers[host]) > 1 else answers[host][0]
        return [entry for address in found for entry in real(address, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return answers


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_inside_is_not_public(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_outside_is_public(address):
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", [*INSIDE, "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"])
def test_a_name_that_leads_inside_is_not_connected_to(name_server, address):
    name_server["evil.example"] = [[address]]

    with pytest.raises(AddressRefused):
        Guard([]).addresses(Origin("https", "evil.example", 443))


@pytest.mark.parametrize("address", [*PUBLIC, "::ffff:1.1.1.1"])
def test_a_name_that_leads_outside_is_connected_to_at_that_address(name_server, address):
    name_server["good.example"] = [[address]]

    assert Guard([]).addresses(Origin("https", "good.example", 443)) == [(address, 443)]


def test_one_address_inside_spoils_the_others(name_server):
    name_server["half.example"] = [["1.1.1.1", "10.0.0.1"]]

    with pytest.raises(AddressRefused):
        Guard([]).addresses(Origin("https", "half.example", 443))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "0", "0177.0.0.1", "::1", "::ffff:127.0.0.1"]
)
def test_our_own_host_is_not_connected_to_by_any_of_its_spellings(host):
    with pytest.raises((AddressRefused, OSError)):
        Guard([]).addresses(Origin("https", host, 443))


@pytest.mark.parametrize(
    "url",
    [
        "", "x", "https", "https:", "https://", "https:///v1", "//host/v1", "/v1", "host/v1",
        "ftp://host/", "file:///etc/passwd", "gopher://127.0.0.1:70/", "javascript:alert(1)", "data:text/plain,x",
        "http://api.example.com/v1", "HTTP://api.example.com/v1",
        "https://user@host/", "https://user:pass@host/", "https://:pass@host/", "https://@host/v1?",
        "https://host/?x=1", "https://host/#x", "https://host:99999/", "https://host:-1/", "https://host:x/",
        "https://ho st/", "https://host/ v1", "https://host\n/v1", "https://host/\r\nx: y", "https://host/v1\x00",
        "https://a.com\\@127.0.0.1/", "https://host/{x}", "https://host/<script>", "https://höst/", "https://[::1/",
        "https://[::x]/", "https://host/" + "a" * 500,
    ],
)  # fmt: skip
def test_a_base_url_that_cannot_be_used_is_refused_by_name(url):
    with pytest.raises(Unprocessable) as refusal:
        Guard([]).parse(url)

    assert refusal.value.field == "base_url"


@pytest.mark.parametrize(
    ("url", "origin", "path", "authority"),
    [
        ("https://api.example.com/v1", ("https", "api.example.com", 443), "/v1", "api.example.com"),
        ("https://API.Example.COM./v1/", ("https", "api.example.com", 443), "/v1", "api.example.com"),
        ("HTTPS://api.example.com", ("https", "api.example.com", 443), "", "api.example.com"),
        ("https://api.example.com:8443/a/b//", ("https", "api.example.com", 8443), "/a/b", "api.example.com:8443"),
        ("https://[2606:4700::1111]:444/v1", ("https", "2606:4700::1111", 444), "/v1", "[2606:4700::1111]:444"),
        ("https://1.1.1.1/v1", ("https", "1.1.1.1", 443), "/v1", "1.1.1.1"),
    ],
)
def test_a_base_url_is_taken_apart(url, origin, path, authority):
    target = Guard([]).parse(url)

    assert target.origin == Origin(*origin)
    assert target.path == path
    assert target.origin.authority == authority


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        (["127.0.0.1"], "http://127.0.0.1:8000/v1"),
        (["127.0.0.0/8"], "http://127.0.0.9:8000/v1"),
        (["localhost"], "http://LOCALHOST:8000/v1"),
        (["::1"], "http://[::1]:8000/v1"),
        (["10.0.0.0/8", "ollama.lan"], "http://ollama.lan/v1"),
    ],
)
def test_the_operator_may_allow_hosts_of_her_own(allowed, url):
    guard = Guard(allowed)

    assert guard.parse(url).origin.scheme == "http"


def test_an_allowed_port_of_a_host_says_nothing_about_its_others(name_server):
    name_server["inside.example"] = [["10.0.0.1"]]
    guard = Guard(["inside.example:8045"])

    assert guard.parse("http://inside.example:8045/v1").origin == Origin("http", "inside.example", 8045)
    assert guard.addresses(Origin("http", "inside.example", 8045)) == [("10.0.0.1", 8045)]
    with pytest.raises(Unprocessable):
        guard.parse("http://inside.example/v1")
    with pytest.raises(AddressRefused):
        guard.addresses(Origin("https", "inside.example", 443))


def test_an_allowed_name_may_lead_anywhere_and_an_allowed_network_be_reached_by_any_name(name_server):
    name_server |= {"ollama.lan": [["10.1.2.3"]], "other.lan": [["10.1.2.3"]], "deep.lan": [["::ffff:10.1.2.3"]]}
    by_name, by_network = Guard(["ollama.lan"]), Guard(["10.0.0.0/8"])

    assert by_name.addresses(Origin("http", "ollama.lan", 80))
    assert by_network.addresses(Origin("https", "other.lan", 443))
    assert by_network.addresses(Origin("https", "deep.lan", 443))
    with pytest.raises(AddressRefused):
        by_name.addresses(Origin("https", "other.lan", 443))


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example", ".example", "-", "no.such.name.invalid"])
def test_a_name_that_is_none_has_no_address(host):
    with pytest.raises(OSError, match=r".*"):
        Guard([]).addresses(Origin("https", host, 443))


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example"])
def test_a_name_that_is_none_is_unreachable(host):
    with pytest.raises(Unreachable):
        Wire(Guard([]), connect_timeout=1).connect(Origin("https", host, 443))


def test_a_name_that_answers_differently_at_connect_time_gains_nothing(name_server, upstream):
    inside: Upstream = upstream()
    name_server["rebind.example"] = [["1.1.1.1"], ["127.0.0.1"]]
    guard = Guard([])
    origin = Origin("https", "rebind.example", inside.port)

    assert guard.addresses(origin) == [("1.1.1.1", inside.port)]
    with pytest.raises(Unreachable):
        Wire(guard, connect_timeout=1).connect(origin)

    assert inside.connections == 0


def test_the_socket_is_opened_to_the_address_that_was_checked(name_server, upstream):
    """The name is asked once per connection: were it asked again to connect, the second answer would decide."""
    checked: Upstream = upstream()
    name_server["rebind.example"] = [["127.0.0.1"], ["127.9.9.9"]]
    wire = Wire(Guard(["127.0.0.1"]), connect_timeout=1)

    line = wire.connect(Origin("http", "rebind.example", checked.port))

    line.close()
    assert name_server["rebind.example"] == [["127.9.9.9"]]
