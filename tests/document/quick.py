"""What `wsgi.py` serves, with passwords that cost a thousandth of what they cost in production: many are tried here."""

from shared_accounts.auth import passwords

passwords.ROUNDS = 4
passwords._NOBODY = passwords.hash_password("nobody")  # noqa: SLF001

from wsgi import app  # noqa: E402, F401 - after the passwords
