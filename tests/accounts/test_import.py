import json
import threading
import time

import pytest

from shared_accounts.accounts import importing
from shared_accounts.accounts.importing import Row, read_csv
from shared_accounts.errors import Unprocessable
from shared_accounts.extensions import db
from shared_accounts.outbound.addresses import Guard
from shared_accounts.users.models import TrustLevel
from tests import factories
from tests.accounts.test_probe import lists
from tests.conftest import rows
from tests.upstream import Upstream, refuses, stalls_before_the_head

PATH = "/api/accounts/import"
HEADER = "name,base_url,api_key,sharing,models"


def key(number):
    return f"sk-upstream-key-number-{number:04}"


@pytest.fixture
def party(app):
    """An upstream that serves `m` and `n` to every credential but those that say `wrong`."""

    def act(turn):
        wrong = "wrong" in (turn.request.header("authorization") or "")
        return (refuses(401) if wrong else lists("m", "n"))(turn)

    made = Upstream(act)
    yield made
    app.extensions["wire"].sweep()
    made.stop()


@pytest.fixture
def account(party):
    """One row as a contributor sends it."""

    def describe(number, **fields):
        row = {"name": f"Account {number}", "base_url": party.url, "api_key": key(number), "sharing": "shared"}
        return {**row, "models": ["m"], **fields}

    return describe


def send(client, *accounts, **options):
    return client.post(PATH, json={"accounts": list(accounts), **options})


def send_csv(client, text, **options):
    return client.post(PATH, data=text, content_type="text/csv", query_string=options)


def outcomes(answer):
    assert answer.status_code == 200, answer.text
    return [(row["row"], row["status"], sorted(row.get("errors", ()))) for row in answer.json["rows"]]


def test_many_accounts_are_brought_at_once(member, account):
    answer = send(member, account(1), account(2, models=["m", "n"], max_concurrency=3), account(3, preset="openai"))

    assert (answer.json["imported"], answer.json["refused"]) == (3, 0)
    shown = {row["id"]: row for row in member.get("/api/accounts").json}
    assert [shown[row["id"]]["name"] for row in answer.json["rows"]] == ["Account 1", "Account 2", "Account 3"]
    assert [one["preset"] for one in shown.values()] == ["openai", None, None]
    assert member.get("/api/quotas").json[0]["capacity"] == "6.0000"


def test_a_bad_row_is_refused_with_its_reasons_and_stops_no_other(member, account):
    answer = send(
        member,
        account(1),
        account(2, name="", sharing="everyone"),
        account(3, api_key="wrong-key-000000000000000000"),
        account(4, models=["m", "gpt-of-my-dreams"]),
        account(5, base_url="http://10.0.0.1/v1"),
        account(6, owner_id=1, models=["m", 7]),
        "not an account",
        {},
        account(7),
    )

    assert outcomes(answer) == [
        (1, "imported", []),
        (2, "refused", ["name", "sharing"]),
        (3, "refused", ["api_key"]),
        (4, "refused", ["models"]),
        (5, "refused", ["base_url"]),
        (6, "refused", ["models", "owner_id"]),
        (7, "refused", ["row"]),
        (8, "refused", ["api_key", "base_url", "name", "sharing"]),
        (9, "imported", []),
    ]
    assert (answer.json["imported"], answer.json["refused"]) == (2, 7)
    said = [text for row in answer.json["rows"] for texts in row.get("errors", {}).values() for text in texts]
    assert all(isinstance(text, str) for text in said)
    assert {row["name"] for row in rows("accounts")} == {"Account 1", "Account 7"}


def test_a_credential_given_twice_is_refused_the_second_time(member, account, party):
    answer = send(member, account(1), account(1, name="Again", base_url=f"{party.url}/"), account(2))

    assert outcomes(answer) == [(1, "imported", []), (2, "refused", ["api_key"]), (3, "imported", [])]
    assert answer.json["rows"][1]["errors"] == {"api_key": ["Row 1 has this credential already."]}
    assert len(party.requests) == 2


def test_the_same_key_at_two_addresses_of_a_file_counts_once(member, account, party):
    answer = send(member, account(1), account(1, base_url=party.url.replace("127.0.0.1", "127.0.0.1.")))

    assert outcomes(answer)[1] == (2, "refused", ["api_key"])


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_credential_known_here_is_refused_whoever_brought_it(sign_in, account, dry_run):
    send(sign_in(factories.user()), account(1))

    answer = send(sign_in(factories.user()), account(1), account(2), dry_run=dry_run)

    assert answer.json["rows"][0]["errors"] == {"api_key": ["This credential has been contributed already."]}
    assert answer.json["rows"][1]["status"] == ("would_import" if dry_run else "imported")


def test_a_file_may_be_sent_again(member, account):
    first, again = (send(member, account(1), account(2)) for _ in range(2))

    assert (first.json["imported"], again.json["imported"], again.json["refused"]) == (2, 0, 2)
    assert len(rows("accounts")) == 2


def test_a_dry_run_tries_everything_and_keeps_nothing(member, account, party):
    answer = send(member, account(1), account(2, api_key="wrong-key-000000000000000000"), dry_run=True)

    assert outcomes(answer) == [(1, "would_import", []), (2, "refused", ["api_key"])]
    assert (answer.json["imported"], answer.json["refused"]) == (0, 1)
    assert "id" not in answer.json["rows"][0]
    assert rows("accounts") == rows("audit_log") == rows("quota_pools") == []
    assert len(party.requests) == 2
    assert outcomes(send(member, account(1))) == [(1, "imported", [])]


def test_who_may_not_share_is_told_in_the_rows_that_share(sign_in, account):
    client = sign_in(factories.user())
    db.session.get(TrustLevel, 0).may_share = False
    db.session.commit()

    answer = send(client, account(1), account(2, sharing="dedicated"))

    assert outcomes(answer) == [(1, "refused", ["sharing"]), (2, "imported", [])]


def test_every_import_is_in_the_audit_log_with_each_account(member, account):
    send(member, account(1), account(2), account(3, name=""))

    acts = [(row["act"], row["details"]) for row in sorted(rows("audit_log"), key=lambda row: row["id"])]
    assert acts == [
        ("account.contributed", {"sharing": "shared"}),
        ("account.contributed", {"sharing": "shared"}),
        ("account.imported", {"imported": 2, "refused": 1}),
    ]


def test_a_report_holds_no_credential_wherever_in_a_row_it_stood(member, account):
    secret = "sk-proj-abcdefghijklmnopqrstuvwxyz"
    answer = send(
        member,
        account(1, api_key=secret),
        account(2, name=secret, api_key="My account"),
        account(3, name=secret, api_key="wrong"),
        account(4, api_key=secret, base_url=secret),
        account(5, **{secret: "x"}),
        account(6, preset=secret, sharing=secret, models=secret, window_hours=secret),
        account(7, name=f"my {key(7)}"),
    )

    assert answer.status_code == 200
    assert secret not in answer.text
    assert key(7) not in answer.text
    assert secret not in str(rows("audit_log"))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "accounts"),
        ({"accounts": []}, "accounts"),
        ({"accounts": [{}] * 101}, "accounts"),
        ({"accounts": {"name": "x"}}, "accounts"),
        ({"accounts": "x"}, "accounts"),
        ({"accounts": [{}], "dry_run": "yes"}, "dry_run"),
        ({"accounts": [{}], "dryrun": True}, "dryrun"),
        ({"accounts": [{"name": "\x00"}]}, "accounts.name"),
    ],
)
def test_a_body_that_is_no_import_is_refused_whole(member, body, field):
    answer = member.post(PATH, json=body)

    assert (answer.status_code, list(answer.json["errors"]["json"])) == (422, [field])
    assert rows("audit_log") == []


def test_other_bodies_are_refused(member):
    assert member.post(PATH, data="x", content_type="application/xml").status_code == 415
    assert member.post(PATH, data="{", content_type="application/json").status_code == 400
    assert member.post(PATH, data=b"x" * (1024 * 1024 + 1), content_type="text/csv").status_code == 413
    assert send_csv(member, HEADER, dry_run="perhaps").status_code == 422


def test_a_csv_file_is_imported(member, party):
    first, second = f"{party.url},{key(1)},shared,m;n", f"{party.url},{key(2)},dedicated,m"
    text = f'\ufeff{HEADER}\r\nFirst,{first}\r\n,,,,\r\n"Second, mine",{second}\r\n'

    answer = send_csv(member, text.encode())

    assert outcomes(answer) == [(1, "imported", []), (3, "imported", [])]
    shown = {row["name"]: row for row in member.get("/api/accounts").json}
    assert shown["First"]["models"] == ["m", "n"]
    assert shown["Second, mine"]["sharing"] == "dedicated"


def test_a_csv_file_may_be_rehearsed(member, party):
    text = f"{HEADER}\nFirst,{party.url},{key(1)},shared,m"

    assert outcomes(send_csv(member, text, dry_run="true")) == [(1, "would_import", [])]
    assert outcomes(send_csv(member, text, dry_run="false")) == [(1, "imported", [])]


def test_formulas_are_text(member, party):
    answer = send_csv(member, f"{HEADER}\n=1+1,{party.url},{key(1)},shared,\n+SUM(A1),{party.url},{key(2)},shared,@m")

    assert outcomes(answer) == [(1, "imported", []), (2, "refused", ["models"])]
    assert answer.json["rows"][0]["name"] == rows("accounts")[0]["name"] == "=1+1"


def test_a_csv_file_with_a_preset_needs_no_address_and_says_its_numbers(member, party):
    text = (
        "preset,name,api_key,sharing,allowance_tokens,window_hours,max_concurrency,base_url\n"
        f"openai,Mine,{key(1)},shared,500000,24,2,{party.url}\n"
        f"custom,Lost,{key(2)},shared,,,,\n"
        f"openai,Much,{key(3)},shared,1e6,5.5,many,{party.url}\n"
    )

    answer = send_csv(member, text)

    assert outcomes(answer) == [
        (1, "imported", []),
        (2, "refused", ["base_url"]),
        (3, "refused", ["allowance_tokens", "max_concurrency", "window_hours"]),
    ]
    (made,) = member.get("/api/accounts").json
    assert (made["allowance_tokens"], made["window_hours"], made["max_concurrency"]) == (500_000, 24, 2)


ROW = {"name": "A", "base_url": "u", "api_key": "k", "sharing": "shared"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name,base_url,api_key,sharing\nA,u,k,shared", [(1, ROW)]),
        (" Name ,BASE_URL,api_key,sharing\r\n A ,u,k,shared\r\n", [(1, ROW)]),
        ("name,base_url,api_key,sharing\rA,u,k,shared\r", [(1, ROW)]),
        ('name,api_key\n"A\nB",k', [(1, {"name": "A\nB", "api_key": "k"})]),
        ('name,api_key\n"say ""A""",k', [(1, {"name": 'say "A"', "api_key": "k"})]),
        ("name,api_key\n\n , \nA,k\n\n", [(3, {"name": "A", "api_key": "k"})]),
        ("name,api_key\nA", [(1, {"name": "A"})]),
        ("name,models\nA,a;b|c ; d", [(1, {"name": "A", "models": ["a", "b", "c", "d"]})]),
        ("name,models\nA,;", [(1, {"name": "A", "models": []})]),
        ("window_hours\n5", [(1, {"window_hours": 5})]),
        ("window_hours\n-5", [(1, {"window_hours": -5})]),
        ("window_hours\n5.5", [(1, {"window_hours": "5.5"})]),
        ("window_hours\n٣", [(1, {"window_hours": "٣"})]),
        (f"window_hours\n{'9' * 5000}", [(1, {"window_hours": "9" * 5000})]),
        ("name\n7", [(1, {"name": "7"})]),
        ("api_key\n=cmd|' /C calc'!A0", [(1, {"api_key": "=cmd|' /C calc'!A0"})]),
        ("name\n模型", [(1, {"name": "模型"})]),
    ],
)
def test_cells_become_what_a_contributor_would_have_sent(text, expected):
    for encoding in ("utf-8", "utf-8-sig"):
        assert [(row.number, row.given) for row in read_csv(text.encode(encoding))] == expected


def test_a_row_that_is_too_long_is_refused_alone():
    rows = read_csv(b"name,api_key\nA,k,extra\nB,k,\nC,k")

    assert [list(row.errors) for row in rows] == [["row"], [], []]


@pytest.mark.parametrize(
    ("data", "says_so"),
    [
        (b"", "no header"),
        (b"\n\n", "no header"),
        (b"\xef\xbb\xbf", "no header"),
        (b",,\nA,u,k", "no header"),
        (HEADER.encode(), "between 1 and 100"),
        (HEADER.encode() + b"\n,,,,\n\n", "between 1 and 100"),
        (HEADER.encode() + b"\nA,u,k,shared,m" * 101, "between 1 and 100"),
        (b"name,api_key,colour\nA,k,red", "Column 3"),
        (b"name,api_key,\nA,k,", "Column 3"),
        (b"name;api_key\nA;k", "Column 1"),
        (b"sk-secret-0123456789abcdef,A\nsk-b,B", "Column 1"),
        (b"name,api_key,NAME\nA,k,B", "twice"),
        ("name\nGrüße".encode("latin-1"), "UTF-8"),
        ("name\nA".encode("utf-16"), "UTF-8"),
        (b'name\n"A', "CSV"),
        (b'name\n"A"B', "CSV"),
        (b"name\n" + b"A" * 200_000, "CSV"),
        (b"PK\x03\x04\x14\x00\x06\x00", "Column 1"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_whole(member, data, says_so):
    with pytest.raises(Unprocessable) as refused:
        read_csv(data)
    assert (refused.value.field, says_so in refused.value.message) == ("file", True), refused.value.message
    assert "sk-secret" not in refused.value.message

    answer = send_csv(member, data)
    assert (answer.status_code, list(answer.json["errors"]["json"])) == (422, ["file"])
    assert rows("accounts") == rows("audit_log") == []


def test_a_hundred_rows_are_not_too_many_and_each_is_counted_once(app, member, account, party):
    text = HEADER + "".join(f"\nAccount {n},{party.url},{key(n)},shared,m" for n in range(100))

    answer = send_csv(member, text)

    assert (answer.json["imported"], len(party.requests)) == (100, 100)
    assert member.get("/api/quotas").json[0]["capacity"] == "200.0000"


def test_an_import_counts_as_a_visit_for_every_ten_rows(member, account, party, with_settings):
    with with_settings(visit_limit="3 per minute"):
        first = send(member, *(account(number) for number in range(20)), *[{}] * 30)
        second = send(member, account(99))

    assert (first.status_code, second.status_code) == (200, 429)
    assert len(party.requests) == 20


def test_upstreams_are_asked_side_by_side_but_not_all_at_once(app, party):
    under_way, most, lock = 0, 0, threading.Lock()

    def slowly(turn):
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.1)
        with lock:
            under_way -= 1
        return lists("m")(turn)

    party.plays(slowly)
    guard = Guard(["127.0.0.1"])
    accounts = [
        Row(n, {"name": "A", "base_url": party.url, "api_key": key(n), "sharing": "dedicated"}) for n in range(24)
    ]
    importing.judge(accounts, guard, may_share=True)

    began = time.monotonic()
    importing.prove(accounts, guard, app.extensions["wire"])

    assert [row.models for row in accounts] == [["m"]] * 24
    assert most == 8
    assert time.monotonic() - began < 1.5


def test_no_connection_is_kept_while_upstreams_take_their_time(committed, sign_in, account, party):
    client = sign_in(factories.user())
    db.session.remove()
    party.plays(stalls_before_the_head)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(send(client, account(1), account(2))))

    thread.start()
    party.wait_for(2)
    assert [db.engine.pool.checkedout() for _ in range(20) if not time.sleep(0.01)] == [0] * 20
    party.hang_up()
    thread.join(20)

    assert outcomes(answers[0]) == [(1, "refused", ["base_url"]), (2, "refused", ["base_url"])]


def test_two_who_bring_the_same_file_at_once_share_it_between_them(committed, sign_in, account):
    clients = [sign_in(factories.user()) for _ in range(2)]
    accounts, answers = [account(number) for number in range(20)], []

    threads = [threading.Thread(target=lambda one=one: answers.append(send(one, *accounts))) for one in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sum(answer.json["imported"] for answer in answers) == 20
    assert sum(answer.json["refused"] for answer in answers) == 20
    assert len(rows("accounts")) == 20
    assert json.dumps([answer.json for answer in answers]).count("has been contributed already") == 20
