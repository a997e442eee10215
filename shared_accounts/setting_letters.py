"""How settings about letters are spelt: each parser takes the text of one, as those of `setting_values` do."""

from __future__ import annotations

import base64
import re

_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", re.ASCII)
_LONGEST_EMAIL = 254
_WEBHOOK_KEY_BYTES = range(24, 65)


def email(text: str) -> str:
    """Read the address of a mailbox, without a name."""
    if not is_email(text):
        raise ValueError(text)
    return text


def is_email(text: str) -> bool:
    """Tell whether a text is the address of a mailbox as people have it: RFC 5321's, without its quoted forms."""
    return len(text) <= _LONGEST_EMAIL and _EMAIL.fullmatch(text) is not None


def webhook_secret(text: str) -> str:
    """Read the secret of a webhook as Standard Webhooks spells it: `whsec_` and 24 to 64 bytes in base64."""
    key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    if not text.startswith("whsec_") or len(key) not in _WEBHOOK_KEY_BYTES:
        raise ValueError(text)
    return text
