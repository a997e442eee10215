"""Seal upstream credentials, and fingerprint secrets we must recognise but never read again.

Invariant: a sealed text opens only for the row it was sealed for. Fernet has no associated data, so the
purpose (such as `account:17`) stands inside the plaintext and is compared on opening; a ciphertext copied
into another row opens as nothing.
"""

from __future__ import annotations

import hashlib
import hmac

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shared_accounts.errors import CredentialUnreadable

_SEPARATOR = "\x00"


class Vault:
    """Seals with the first key, opens with any: put a new key in front to rotate."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys])
        # Duplicate detection must survive rotation, so it hangs on the oldest key.
        self._fingerprint_key = derive(keys[-1], b"credential fingerprint")

    def seal(self, secret: str, *, purpose: str) -> bytes:
        """Encrypt `secret` for one purpose."""
        return self._fernet.encrypt(f"{purpose}{_SEPARATOR}{secret}".encode())

    def unseal(self, sealed: bytes, *, purpose: str) -> str:
        """Return what was sealed for `purpose`; raises `CredentialUnreadable` for anything else."""
        try:
            found, _, secret = self._fernet.decrypt(sealed).decode().partition(_SEPARATOR)
        except InvalidToken as error:
            raise CredentialUnreadable from error
        if found != purpose:
            raise CredentialUnreadable
        return secret

    def fingerprint(self, secret: str) -> bytes:
        """Recognise a credential brought twice, without keeping anything that could be guessed offline."""
        return hmac.digest(self._fingerprint_key, secret.encode(), "sha256")


def fingerprint(secret: str) -> bytes:
    """SHA-256 of a high-entropy secret: enough to find it, useless to anybody who reads it."""
    return hashlib.sha256(secret.encode()).digest()


def derive(secret: str, purpose: bytes) -> bytes:
    """One independent 32-byte key per purpose (HKDF, RFC 5869), so that no two uses share a key."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret.encode())
