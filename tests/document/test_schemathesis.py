"""Everything the document promises, tried by schemathesis over real sockets, with all of its checks.

`SCHEMATHESIS_EXAMPLES=200 pytest tests/document` tries it at length; `pardons.py` has what may be held against us, and why.
"""

from __future__ import annotations

import pytest

from tests.document import driving

pytestmark = pytest.mark.timeout(300)  # some operations are tried with two hundred requests

ROWS_OF_CALLS = {
    "keys": ("member", r"/api/api-keys"),
    "accounts": ("member", r"/api/accounts(/\{account_id\}.*)?$"),
    "plugin accounts": ("member", r"/api/plugin-api/accounts"),
    "invitations": ("admin", r"/api/admin/invitations"),
    "people": ("admin", r"/api/admin/users(/\{user_id\}(/sessions.*)?)?$"),
    "models": ("admin", r"/api/admin/models"),
}


@pytest.mark.parametrize("label", driving.labels())
def test_an_operation_keeps_what_the_document_promises(label, cast, server, document):
    failures = driving.Run(document, server.url, cast).try_out(label)

    assert not failures, "\n\n".join(failures)


@pytest.mark.parametrize("name", ROWS_OF_CALLS)
def test_what_is_made_can_be_used_by_its_maker_alone_and_what_is_gone_stays_gone(
    name, cast, server, document, tmp_path
):
    credential, paths = ROWS_OF_CALLS[name]

    failures = driving.Run(document, server.url, cast).walk(paths, credential, tmp_path)

    assert not failures, "\n\n".join(failures)
