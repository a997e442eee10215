from __future__ import annotations

import bcrypt
import pytest


@pytest.fixture
def hashing(monkeypatch):
    """What bcrypt has compared: the length of each guess, the cost it is hashed at, the length of what is kept."""
    asked = []
    check = bcrypt.checkpw

    def noting(guess, kept):
        asked.append((len(guess), kept[:7], len(kept)))
        return check(guess, kept)

    monkeypatch.setattr(bcrypt, "checkpw", noting)
    return asked
