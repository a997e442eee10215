"""Letters by e-mail, through the operator's server; without one (`SMTP_HOST`) there are none."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from http import HTTPStatus

from shared_accounts.alerts.failures import Undelivered
from shared_accounts.config import Settings

_SECONDS = 10.0


def send(settings: Settings, *, to: str, subject: str, text: str, message_id: str) -> None:
    """Hand one letter over; raises `Undelivered`. The id is the alert's, so a mailbox can tell a repetition."""
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = settings.mail_from, to, subject
    letter["Message-ID"] = f"<{message_id}@{settings.mail_from.rpartition('@')[2].rstrip('>')}>"
    letter["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence is announced to us
    letter.set_content(text)
    try:
        with _connected(settings) as server:
            if settings.smtp_username:
                server.login(settings.smtp_username, settings.smtp_password)
            server.send_message(letter)
    except smtplib.SMTPRecipientsRefused as error:
        refused = [code for code, _ in error.recipients.values()]
        raise Undelivered(
            "the mail server refuses the address", for_good=min(refused) >= HTTPStatus.INTERNAL_SERVER_ERROR
        ) from None
    except (smtplib.SMTPException, OSError) as error:
        raise Undelivered(f"the mail server did not take it ({type(error).__name__})") from None


def _connected(settings: Settings) -> smtplib.SMTP:
    host, port, trusted = settings.smtp_host, settings.smtp_port, ssl.create_default_context()
    if settings.smtp_security == "tls":
        return smtplib.SMTP_SSL(host, port, timeout=_SECONDS, context=trusted)
    server = smtplib.SMTP(host, port, timeout=_SECONDS)
    if settings.smtp_security == "starttls":
        try:
            server.starttls(context=trusted)
        except (smtplib.SMTPException, OSError):
            server.close()
            raise
    return server
