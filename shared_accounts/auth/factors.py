"""The second factor: time-based codes (RFC 6238) and recovery codes.

Invariant: a code works once. A time step that was spent, or any before it, is refused for ever; a recovery code is
deleted as it is spent. The secret is sealed for its user, recovery codes are kept as keyed fingerprints.
"""

from __future__ import annotations

import hmac
import secrets
import time

import pyotp
from sqlalchemy import delete, func, select

from shared_accounts.auth.models import RecoveryCode, SecondFactor
from shared_accounts.auth.refused import WrongCode
from shared_accounts.crypto import Vault
from shared_accounts.errors import Conflict
from shared_accounts.extensions import db

RECOVERY_CODES = 10

_ISSUER = "shared_accounts"
_STEP_SECONDS = 30
_STEPS_OF_PATIENCE = 1  # a phone's clock may be half a minute off (RFC 6238 section 5.2)
_RECOVERY_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that looks like something else
_RECOVERY_LENGTH = 12


def enrolled(user_id: int) -> bool:
    """Tell whether this user has confirmed a second factor."""
    mine = select(SecondFactor.confirmed_at).where(SecondFactor.user_id == user_id)
    return db.session.scalar(mine) is not None


def recovery_codes_left(user_id: int) -> int:
    """Count the recovery codes that have not been spent."""
    mine = select(func.count()).select_from(RecoveryCode).where(RecoveryCode.user_id == user_id)
    return db.session.scalar(mine) or 0


def begin(user_id: int, username: str, vault: Vault) -> tuple[str, str]:
    """Return a new secret and its `otpauth://` address; it counts once confirmed. Raises `Conflict` if one does."""
    if enrolled(user_id):
        raise Conflict("You have a second factor already; remove it first.")
    secret = pyotp.random_base32()
    factor = db.session.get(SecondFactor, user_id) or SecondFactor(user_id=user_id)
    factor.sealed_secret = vault.seal(secret, purpose=_purpose(user_id))
    db.session.add(factor)
    db.session.flush()
    return secret, pyotp.TOTP(secret).provisioning_uri(name=username, issuer_name=_ISSUER)


def confirm(user_id: int, code: str, vault: Vault) -> list[str]:
    """Make the pending factor count and return fresh recovery codes, this once; raises `WrongCode` or `Conflict`."""
    factor = _locked(user_id)
    if factor is None or factor.confirmed_at is not None:
        raise Conflict("There is no second factor waiting to be confirmed.")
    if not _spend_step(factor, code, vault):
        raise WrongCode
    factor.confirmed_at = func.now()
    return renew_recovery_codes(user_id, vault)


def check(user_id: int, code: str, vault: Vault) -> None:
    """Spend a code of the authenticator or a recovery code; raises `WrongCode`. No code is ever good twice."""
    factor = _locked(user_id)
    if factor is None or factor.confirmed_at is None:
        raise WrongCode
    if not _spend_step(factor, code, vault) and not _spend_recovery_code(user_id, code, vault):
        raise WrongCode
    db.session.flush()


def renew_recovery_codes(user_id: int, vault: Vault) -> list[str]:
    """Replace all recovery codes and return the new ones, which nobody can read again."""
    codes = [_new_recovery_code() for _ in range(RECOVERY_CODES)]
    db.session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    db.session.add_all(RecoveryCode(user_id=user_id, fingerprint=vault.fingerprint(code)) for code in codes)
    db.session.flush()
    return ["-".join(code[start : start + 4] for start in range(0, _RECOVERY_LENGTH, 4)) for code in codes]


def remove(user_id: int) -> bool:
    """Take the second factor and its recovery codes away; tells whether there was a confirmed one."""
    db.session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    gone = delete(SecondFactor).where(SecondFactor.user_id == user_id).returning(SecondFactor.confirmed_at)
    return db.session.scalar(gone) is not None


def _locked(user_id: int) -> SecondFactor | None:
    """Return the factor; whoever checks a code of it at the same time waits, and then finds it spent."""
    return db.session.scalar(select(SecondFactor).where(SecondFactor.user_id == user_id).with_for_update())


def _spend_step(factor: SecondFactor, code: str, vault: Vault) -> bool:
    totp = pyotp.TOTP(vault.unseal(factor.sealed_secret, purpose=_purpose(factor.user_id)))
    now = int(time.time()) // _STEP_SECONDS
    given = "".join(code.split()).encode()
    for step in range(now - _STEPS_OF_PATIENCE, now + _STEPS_OF_PATIENCE + 1):
        if step > factor.last_step and hmac.compare_digest(totp.generate_otp(step).encode(), given):
            factor.last_step = step
            return True
    return False


def _spend_recovery_code(user_id: int, code: str, vault: Vault) -> bool:
    plain = "".join(character for character in code.lower() if character.isalnum())
    mine = (RecoveryCode.user_id == user_id) & (RecoveryCode.fingerprint == vault.fingerprint(plain))
    return db.session.scalar(delete(RecoveryCode).where(mine).returning(RecoveryCode.id)) is not None


def _new_recovery_code() -> str:
    return "".join(secrets.choice(_RECOVERY_ALPHABET) for _ in range(_RECOVERY_LENGTH))


def _purpose(user_id: int) -> str:
    return f"second factor:{user_id}"
