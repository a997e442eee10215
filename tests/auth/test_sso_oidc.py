"""OpenID Connect with an issuer that lies, errs, stalls or drips: nobody is signed in, and nothing is left behind."""

from __future__ import annotations

import base64
import dataclasses
import hmac
import json
import time
from urllib.parse import urlsplit

import pytest
from joserfc.jwk import OctKey

from shared_accounts.auth.issuers import Issuer
from shared_accounts.auth.providers import Provider
from shared_accounts.extensions import db
from tests.auth.flow import NOBODY, PAGE, begin, come_back, news, offering, sign_in, there_are
from tests.auth.idp import (
    CLIENT_ID,
    CLIENT_SECRET,
    Idp,
    drips_forever,
    drips_its_head,
    fields,
    key,
    signed,
    tells,
    unsigned,
)
from tests.conftest import rows
from tests.upstream import plays, redirects, says, stalls_before_the_head

OTHER = "somebody-else"


@dataclasses.dataclass(frozen=True)
class Later:
    """So many seconds from when the test runs: the table of cases may be as old as the whole run."""

    seconds: float


def told_now(case):
    claims = case.get("claims", {})
    now = time.time()
    told = {name: now + value.seconds if isinstance(value, Later) else value for name, value in claims.items()}
    return {**case, "claims": told} if claims else case


@pytest.fixture
def idp(app):
    server = Idp()
    with offering(app, server):
        yield server
    server.stop()


def refused(answer, status, code):
    """Nobody came in, nobody was made, and the state is spent."""
    assert (answer.status_code, answer.json["error_code"]) == (status, code), answer.json
    assert there_are() == NOBODY
    assert db.session.execute(db.text("select count(*) from tickets")).scalar_one() == 0


def test_an_honest_issuer_signs_people_in(client, session, idp):
    url = begin(client, "idp")
    answer = come_back(client, "idp", idp.authorize(url))

    assert answer.status_code == 200, answer.json
    assert (answer.json["user"]["username"], answer.json["user"]["avatar_url"]) == ("alice", "https://pics.test/a.png")
    asked = fields(urlsplit(url).query)
    assert (asked["scope"], asked["code_challenge_method"]) == ("openid profile", "S256")
    assert len(asked["nonce"]) == 43
    (identity,) = rows("identities")
    assert (identity["provider"], identity["subject"]) == ("idp", "alice-1")


HONEST = {
    "signed with an elliptic curve": {"sign": signed(key("EC", "two"), "ES256")},
    "signed with PS256": {"sign": signed(alg="PS256")},
    "signed with Ed25519": {"sign": signed(key("OKP", "three"), "EdDSA"), "published": [key("OKP", "three")]},
    "with members of its own in the header": {"sign": signed(**{"pi.atm": "1", "x5c": ["M" * 3000]})},
    "a single key needs no name": {"sign": signed(kid=None), "published": [key()]},
    "several audiences, and we are meant": {"claims": {"aud": [CLIENT_ID, OTHER], "azp": CLIENT_ID}},
    "a list of one audience": {"claims": {"aud": [CLIENT_ID]}},
    "clocks that differ a little": {"claims": {"iat": Later(30), "exp": Later(31)}},
    "no user info endpoint": {"user_info": None, "claims": {"preferred_username": "alice"}},
    "a name where the token has null": {"claims": {"name": "Alice"}, "user_info": {"preferred_username": "alice"}},
    "the secret in the body, if it wants that": {
        "metadata": {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    },
}


@pytest.mark.filterwarnings("ignore:.*EdDSA.*")  # joserfc would have issuers say which curve
@pytest.mark.parametrize("way", HONEST.values(), ids=HONEST)
def test_there_are_many_ways_to_be_honest(client, session, idp, way):
    vars(idp).update(told_now(way))

    answer = sign_in(client, idp)

    assert answer.status_code == 200, answer.json
    assert answer.json["user"]["username"] == "alice"


def test_the_secret_goes_where_the_issuer_wants_it(client, session, idp):
    sign_in(client, idp)
    idp.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post", "none"]}
    client.application.extensions["sso_providers"] = {"idp": idp.provider()}
    sign_in(client, idp)

    basic, post = idp.asked("/token")
    assert basic.header("authorization").startswith("Basic ")
    assert "client_secret" not in fields(basic.body)
    assert post.header("authorization") is None
    assert fields(post.body)["client_secret"] == CLIENT_SECRET


def test_claims_of_the_token_come_before_those_of_the_user_info(client, session, idp):
    idp.claims = {"preferred_username": "signed", "picture": None}
    idp.user_info = {"preferred_username": "unsigned", "name": "n", "picture": "https://pics.test/b.png"}

    user = sign_in(client, idp).json["user"]

    assert (user["username"], user["avatar_url"]) == ("signed", "https://pics.test/b.png")


def test_who_has_no_name_is_called_after_her_provider(client, session, idp):
    idp.user_info = {}

    assert sign_in(client, idp).json["user"]["username"] == "idp_alice-1"


def _signed_with_the_public_key(claims):
    head, body, _ = unsigned(claims, alg="HS256").split(".")
    signature = hmac.digest(key().as_pem(private=False), f"{head}.{body}".encode(), "sha256")
    return f"{head}.{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def _forged(claims):
    """The signature of another key, under the name of the right one."""
    return signed(key(name="forger"), kid="one")(claims)


def _with_its_own_key(claims):
    """A token that brings the key it wants to be checked with."""
    forger = key(name="forger")
    return signed(forger, jwk=forger.as_dict(private=False))(claims)


def _altered(claims):
    head, _, signature = signed()(claims).split(".")
    return ".".join([head, unsigned({**claims, "sub": "root"}).split(".")[1], signature])


LIES = {
    "another nonce": {"claims": {"nonce": "another"}},
    "no nonce": {"claims": {"nonce": None}},
    "a list with the nonce in it": {"claims": {"nonce": ["another"]}},
    "another issuer": {"claims": {"iss": "https://idp.test"}},
    "the issuer with a slash": {"claims": {"iss": "http://127.0.0.1/"}},
    "no issuer": {"claims": {"iss": None}},
    "another audience": {"claims": {"aud": OTHER}},
    "no audience": {"claims": {"aud": None}},
    "an empty audience": {"claims": {"aud": []}},
    "several audiences, nobody in particular": {"claims": {"aud": [CLIENT_ID, OTHER]}},
    "several audiences, somebody else in particular": {"claims": {"aud": [CLIENT_ID, OTHER], "azp": OTHER}},
    "ours, but made for somebody else": {"claims": {"azp": OTHER}},
    "expired": {"claims": {"exp": Later(-61)}},
    "never expires": {"claims": {"exp": None}},
    "expires in words": {"claims": {"exp": "tomorrow"}},
    "from the future": {"claims": {"iat": Later(300)}},
    "from no time at all": {"claims": {"iat": None}},
    "no subject": {"claims": {"sub": None}},
    "an empty subject": {"claims": {"sub": ""}},
    "a subject that is a number": {"claims": {"sub": 7}},
    "no signature": {"sign": unsigned},
    "no signature, in capitals": {"sign": lambda claims: unsigned(claims, alg="NONE")},
    "our secret as the key": {"sign": signed(OctKey.import_key(CLIENT_SECRET), "HS256", kid="one")},
    "the public key as the secret": {"sign": _signed_with_the_public_key},
    "an algorithm nobody knows": {"sign": lambda claims: unsigned(claims, alg="RS1", signature=b"x")},
    "an unknown key": {"sign": signed(key(name="forger"))},
    "a nameless key, where there are several": {"sign": signed(kid=None)},
    "the name of a key of another kind": {"sign": signed(kid="two")},
    "a name that is no name": {"sign": lambda claims: unsigned(claims, alg="RS256", kid=["one"], signature=b"x")},
    "a forged signature": {"sign": _forged},
    "a key of its own": {"sign": _with_its_own_key},
    "altered after signing": {"sign": _altered},
    "no token": {"tokens": {"id_token": None}},
    "a token that is a number": {"tokens": {"id_token": 7}},
    "a token that is nonsense": {"tokens": {"id_token": "a.b.c"}},
    "a token of two parts": {"tokens": {"id_token": "eyJhbGciOiJub25lIn0.e30"}},
    "an encrypted token": {"tokens": {"id_token": "a.b.c.d.e"}},
    "a head that is a list": {"tokens": {"id_token": "W10.e30.e30"}},
    "a critical extension": {
        "sign": lambda claims: unsigned(claims, alg="RS256", crit=["b64"], b64=False, signature=b"x")
    },
    "no access token": {"tokens": {"access_token": None}},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_token_that_cannot_be_believed_signs_nobody_in(client, session, idp, lie):
    vars(idp).update(told_now(lie))

    answer = sign_in(client, idp)

    refused(answer, 400, "OAUTH_TOKEN_EXCHANGE_FAILED")


def test_a_deeply_nested_token_is_refused(client, session, idp):
    nested = unsigned({}, alg="RS256", signature=b"x").split(".")
    idp.sign = lambda _: ".".join([nested[0], unsigned(json.loads("[" * 900 + "]" * 900)).split(".")[1], nested[2]])

    refused(sign_in(client, idp), 400, "OAUTH_TOKEN_EXCHANGE_FAILED")


@pytest.mark.parametrize("somebody", [{"sub": "bob-2"}, {"sub": None}, {"sub": ["alice-1"]}], ids=str)
def test_user_info_about_somebody_else_is_refused(client, session, idp, somebody):
    idp.user_info = somebody

    refused(sign_in(client, idp), 400, "OAUTH_USER_INFO_FAILED")


METADATA = {
    "of another issuer": {"issuer": "https://evil.test"},
    "of an issuer in capitals": {"issuer": "HTTP://127.0.0.1"},
    "of no issuer": {"issuer": None},
    "of many issuers": {"issuer": ["http://127.0.0.1"]},
    "without endpoints": {"token_endpoint": None},
    "with an endpoint that is no address": {"jwks_uri": "jwks"},
    "with an endpoint that is half an address": {"authorization_endpoint": "https://["},
    "with an endpoint at no port": {"token_endpoint": "https://idp.test:99999/"},
    "without TLS": {"token_endpoint": "http://idp.test/token"},
    "on the disk": {"jwks_uri": "file:///etc/passwd"},
}


@pytest.mark.parametrize("metadata", METADATA.values(), ids=METADATA)
def test_metadata_that_cannot_be_trusted_stops_the_sign_in_before_it_begins(client, session, idp, metadata):
    idp.metadata = metadata

    refused(client.get("/api/auth/oidc/idp/login"), 502, "OAUTH_PROVIDER_UNREACHABLE")


def test_only_an_issuer_on_this_machine_may_do_without_tls(client, session, app, idp):
    with offering(app, idp, issuer=Issuer(idp.origin.replace("127.0.0.1", "127.1"))):
        idp.metadata = {"issuer": idp.origin.replace("127.0.0.1", "127.1")}
        answer = client.get("/api/auth/oidc/idp/login")

    refused(answer, 502, "OAUTH_PROVIDER_UNREACHABLE")


@pytest.mark.parametrize(("typed", "published"), [("", "/"), ("/", ""), ("/", "/")])
def test_a_slash_at_the_end_of_the_issuer_is_the_operators_affair(client, session, app, idp, typed, published):
    idp.metadata = {"issuer": f"{idp.origin}{published}"}
    with offering(app, idp, issuer=Issuer(f"{idp.origin}{typed}")):
        answer = sign_in(client, idp)

    assert answer.status_code == 200, answer.json


def test_an_answer_in_the_name_of_another_issuer_is_refused(client, session, idp):
    brought = idp.authorize(begin(client, "idp"), iss="https://evil.test")

    refused(come_back(client, "idp", brought), 400, "INVALID_OAUTH_STATE")
    assert not idp.asked("/token")


def test_who_promised_to_say_who_answers_has_to(client, session, idp):
    idp.metadata = {"authorization_response_iss_parameter_supported": True}
    silent = come_back(client, "idp", idp.authorize(begin(client, "idp")))
    refused(silent, 400, "INVALID_OAUTH_STATE")

    named = come_back(client, "idp", idp.authorize(begin(client, "idp"), iss=idp.origin))
    assert named.status_code == 200


def test_a_state_counts_once(client, session, idp):
    brought = idp.authorize(begin(client, "idp"))

    first, second = come_back(client, "idp", brought), come_back(client, "idp", brought)

    assert (first.status_code, second.status_code, second.json["error_code"]) == (200, 400, "INVALID_OAUTH_STATE")
    assert there_are() == {"users": 1, "identities": 1, "sessions": 1}


def test_a_state_is_spent_even_when_what_came_with_it_failed(client, session, idp):
    brought = idp.authorize(begin(client, "idp"))
    refused(come_back(client, "idp", {**brought, "code": "wrong"}), 400, "OAUTH_TOKEN_EXCHANGE_FAILED")

    refused(come_back(client, "idp", brought), 400, "INVALID_OAUTH_STATE")


def test_a_state_belongs_to_the_browser_that_began(client, session, app, idp):
    attacker, victim = client, app.test_client()
    brought = idp.authorize(begin(attacker, "idp"))
    begin(victim, "idp")  # she has a cookie, but another one

    foreign = come_back(victim, "idp", brought)

    assert (foreign.status_code, foreign.json["error_code"]) == (400, "INVALID_OAUTH_STATE")
    assert there_are() == NOBODY
    assert come_back(attacker, "idp", brought).json["error_code"] == "INVALID_OAUTH_STATE"
    assert not idp.asked("/token")


@pytest.mark.parametrize("value", [None, "", "x" * 43, "short", "é" * 43])
def test_without_the_right_cookie_nobody_comes_back(client, session, idp, value):
    brought = idp.authorize(begin(client, "idp"))
    client.delete_cookie("sso")
    if value is not None:
        client.set_cookie("sso", value)

    refused(come_back(client, "idp", brought), 400, "INVALID_OAUTH_STATE")


def test_two_tabs_do_not_disturb_each_other(client, session, idp):
    first, second = idp.authorize(begin(client, "idp")), idp.authorize(begin(client, "idp"))

    assert [come_back(client, "idp", one).status_code for one in (first, second)] == [200, 200]


STATES = {"unknown": "x" * 43, "of any length": "x" * 4000, "of any kind": "\x00\u2028é"}


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_a_state_nobody_gave_is_refused(client, session, idp, state):
    refused(come_back(client, "idp", {"code": "c", "state": state}), 400, "INVALID_OAUTH_STATE")


def test_a_state_has_its_time(client, session, idp):
    brought = idp.authorize(begin(client, "idp"))
    db.session.execute(db.text("update tickets set expires_at = now() - interval '1 second'"))
    db.session.commit()

    refused(come_back(client, "idp", brought), 400, "INVALID_OAUTH_STATE")


def test_a_state_of_another_provider_is_refused(client, session, app, idp):
    other = Idp()
    other.id = "other"
    with offering(app, idp, other):
        brought = idp.authorize(begin(client, "idp"))
        answer = come_back(client, "other", brought)
    other.stop()

    refused(answer, 400, "INVALID_OAUTH_STATE")
    assert not other.asked("/token")


@pytest.mark.parametrize(("missing", "named"), [("code", "code"), ("state", "state")])
def test_what_is_missing_is_named(client, session, idp, missing, named):
    brought = idp.authorize(begin(client, "idp"))
    del brought[missing]

    by_link = come_back(client, "idp", brought)
    by_program = client.post("/api/auth/oidc/idp/callback", json=brought)

    for answer in (by_link, by_program):
        assert (answer.status_code, list(answer.json["errors"]["json"])) == (422, [named])
    assert there_are() == NOBODY


def test_what_the_provider_says_of_an_error_is_not_repeated(client, session, idp, caplog):
    script = "<script>alert(1)</script>"
    state = fields(urlsplit(begin(client, "idp")).query)["state"]
    brought = {"error": f"access_denied{script}", "error_description": script, "error_uri": script, "state": state}

    answer = come_back(client, "idp", brought)
    page = come_back(client, "idp", brought, headers=PAGE)

    refused(answer, 400, "OAUTH_ERROR")
    assert news(page) == {"sign_in_error": "OAUTH_ERROR"}
    for text in (answer.text, page.text, str(page.headers), "".join(str(vars(record)) for record in caplog.records)):
        assert "script" not in text.replace("<!doctype", "").lower()
        assert state not in text


def test_a_code_may_look_like_a_number(client, session, idp):
    idp.routes["/token"] = says(b"{}", status=400)
    state = fields(urlsplit(begin(client, "idp")).query)["state"]

    refused(
        come_back(client, "idp", {"code": "12345678901234567890", "state": state}), 400, "OAUTH_TOKEN_EXCHANGE_FAILED"
    )
    assert fields(idp.asked("/token")[0].body)["code"] == "12345678901234567890"


WHOLE = json.dumps({"access_token": "at-1", "id_token": "x"}).encode()
NONSENSE = {
    "a redirect": redirects("http://127.0.0.1:9/"),
    "a page": says(b"<html>sign in</html>", headers=[("content-type", "text/html")]),
    "nothing": says(b""),
    "an error": says(b'{"error": "server_error", "error_description": "<script>"}', status=500),
    "an error with status 200": says(b'{"error": "invalid_grant", "error_description": "<script>"}'),
    "null": says(b"null"),
    "more than it may be": says(b'{"x": "' + b"x" * 300_000 + b'"}'),
    "far more than it may be": plays([b'{"x": "', *[b"x" * 65536] * 64], ending="keep"),
    "a compressed answer": says(b"\x1f\x8b\x08\x00", headers=[("content-encoding", "gzip")]),
}


FAILED = {
    "/token": (400, "OAUTH_TOKEN_EXCHANGE_FAILED"),
    "/userinfo": (400, "OAUTH_USER_INFO_FAILED"),
    "/jwks": (502, "OAUTH_PROVIDER_UNREACHABLE"),
}
SOME = ["a redirect", "a page", "an error", "more than it may be"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [*(("/token", kind) for kind in NONSENSE), *((path, kind) for path in ("/userinfo", "/jwks") for kind in SOME)],
)
def test_nonsense_from_an_endpoint_signs_nobody_in(client, session, idp, path, kind):
    brought = idp.authorize(begin(client, "idp"))
    idp.routes[path] = NONSENSE[kind]

    answer = come_back(client, "idp", brought)

    refused(answer, *FAILED[path])
    assert "script" not in answer.text


@pytest.mark.parametrize("act", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_instead_of_metadata_stops_the_sign_in_before_it_begins(client, session, idp, act):
    idp.routes["/.well-known/openid-configuration"] = act

    refused(client.get("/api/auth/oidc/idp/login"), 502, "OAUTH_PROVIDER_UNREACHABLE")


SLOW = {"sleeps": stalls_before_the_head, "drips": drips_forever, "drips its head": drips_its_head}


@pytest.mark.parametrize("act", SLOW.values(), ids=SLOW)
@pytest.mark.parametrize("path", ["/token", "/userinfo", "/jwks"])
def test_a_visit_ends_when_its_time_is_over(client, session, app, idp, act, path):
    with offering(app, idp, seconds=0.4):
        brought = idp.authorize(begin(client, "idp"))
        idp.routes[path] = act
        began = time.monotonic()
        answer = come_back(client, "idp", brought)

    refused(answer, 502, "OAUTH_PROVIDER_UNREACHABLE")
    assert time.monotonic() - began < 2
    assert idp.asked(path)[0].gone.wait(2)  # and the connection with it


def test_all_that_is_asked_for_one_person_shares_one_time():
    seconds = {field.name: field.default for field in dataclasses.fields(Provider)}["seconds"]

    assert seconds <= 8


def test_nobody_there_is_an_answer_too(client, session, app, idp):
    idp.stop()

    refused(client.get("/api/auth/oidc/idp/login"), 502, "OAUTH_PROVIDER_UNREACHABLE")


def test_metadata_and_keys_are_asked_for_now_and_then(client, session, app, idp):
    now = [0.0]
    with offering(app, idp, issuer=Issuer(idp.origin, clock=lambda: now[0])):
        for _ in range(3):
            assert sign_in(client, idp).status_code == 200
        asked = len(idp.asked("/.well-known/openid-configuration")), len(idp.asked("/jwks"))
        assert asked == (1, 1)

        now[0] = 601
        sign_in(client, idp)
        assert (len(idp.asked("/.well-known/openid-configuration")), len(idp.asked("/jwks"))) == (2, 2)


def test_a_new_key_is_found_and_an_invented_one_asks_once_a_minute(client, session, app, idp):
    now = [0.0]
    with offering(app, idp, issuer=Issuer(idp.origin, clock=lambda: now[0])):
        assert sign_in(client, idp).status_code == 200
        idp.published, idp.sign = [key(name="new")], signed(key(name="new"))

        now[0] = 61
        assert sign_in(client, idp).status_code == 200

        idp.sign = signed(key(name="forger"))
        for now[0] in (62, 90, 121, 123, 150):
            assert sign_in(client, idp).status_code == 400
        assert len(idp.asked("/jwks")) == 3


def test_a_broken_key_spoils_no_other(client, session, idp):
    strange = [
        {"kty": "RSA", "n": "!", "e": "AQAB"},
        {"kty": "PQ"},
        {"kty": "EC", "crv": "P-1", "x": "", "y": ""},
        7,
        {"kty": "oct", "k": "AA"},
    ]
    idp.routes["/jwks"] = tells({"keys": [*strange, key().as_dict(private=False)]})

    assert sign_in(client, idp).status_code == 200


def test_a_key_for_another_use_does_not_make_them_several(client, session, idp):
    other = {**key(name="other").as_dict(private=False), "use": "enc"}
    idp.routes["/jwks"] = tells({"keys": [other, key().as_dict(private=False)]})
    idp.sign = signed(kid=None)

    assert sign_in(client, idp).status_code == 200


def test_a_key_for_another_use_is_none(client, session, idp):
    idp.routes["/jwks"] = tells({"keys": [{**key().as_dict(private=False), "use": "enc"}]})

    refused(sign_in(client, idp), 400, "OAUTH_TOKEN_EXCHANGE_FAILED")


def test_every_failure_stands_in_the_audit_log(client, session, idp):
    idp.claims = {"nonce": "another"}
    sign_in(client, idp)

    (entry,) = rows("audit_log")
    assert (entry["act"], entry["details"]) == (
        "sign_in.refused",
        {"method": "idp", "reason": "OAUTH_TOKEN_EXCHANGE_FAILED"},
    )
