from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from shared_accounts import crypto
from shared_accounts.crypto import Vault
from shared_accounts.errors import CredentialUnreadable

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@given(secret=st.text(), purpose=st.text(st.characters(exclude_characters="\x00"), max_size=20))
def test_what_is_sealed_for_a_purpose_opens_for_that_purpose(secret, purpose):
    vault = Vault((OLD,))
    try:
        secret.encode()
        purpose.encode()
    except UnicodeEncodeError:
        return

    assert vault.unseal(vault.seal(secret, purpose=purpose), purpose=purpose) == secret


def test_a_ciphertext_copied_into_another_row_opens_as_nothing():
    vault = Vault((OLD,))

    sealed = vault.seal("sk-upstream", purpose="account:1")

    with pytest.raises(CredentialUnreadable):
        vault.unseal(sealed, purpose="account:17")


@pytest.mark.parametrize("sealed", [b"", b"x", b"gAAAAA", Fernet(NEW).encrypt(b"account:1\x00x")], ids=range(4))
def test_what_no_key_opens_is_unreadable(sealed):
    with pytest.raises(CredentialUnreadable):
        Vault((OLD,)).unseal(sealed, purpose="account:1")


def test_a_changed_bit_is_noticed():
    vault = Vault((OLD,))
    sealed = bytearray(vault.seal("sk-upstream", purpose="account:1"))

    sealed[40] ^= 1

    with pytest.raises(CredentialUnreadable):
        vault.unseal(bytes(sealed), purpose="account:1")


def test_a_sealed_text_does_not_contain_the_secret_and_differs_each_time():
    vault = Vault((OLD,))

    first, second = (vault.seal("sk-upstream", purpose="account:1") for _ in range(2))

    assert first != second
    assert b"upstream" not in first


def test_a_key_can_be_rotated_out():
    old = Vault((OLD,)).seal("sk-upstream", purpose="account:1")
    both = Vault((NEW, OLD))

    assert both.unseal(old, purpose="account:1") == "sk-upstream"

    again = both.seal("sk-upstream", purpose="account:1")
    assert Vault((NEW,)).unseal(again, purpose="account:1") == "sk-upstream"
    with pytest.raises(CredentialUnreadable):
        Vault((NEW,)).unseal(old, purpose="account:1")


def test_a_credential_is_recognised_through_a_rotation_but_not_without_our_key():
    assert Vault((OLD,)).fingerprint("x") == Vault((NEW, OLD)).fingerprint("x")
    assert Vault((OLD,)).fingerprint("x") != Vault((NEW,)).fingerprint("x")
    assert Vault((OLD,)).fingerprint("x") not in {crypto.fingerprint("x"), Vault((OLD,)).fingerprint("y")}


def test_each_purpose_has_a_key_of_its_own():
    keys = {crypto.derive("secret", purpose) for purpose in (b"one", b"two")} | {crypto.derive("other", b"one")}

    assert len(keys) == 3
    assert all(len(key) == 32 for key in keys)
    assert crypto.derive("secret", b"one") in keys
