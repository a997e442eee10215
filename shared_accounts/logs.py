"""One JSON line per event: facts as fields, ids not contents."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SECRETS = re.compile(r"sk-[A-Za-z0-9_-]{16,}|eyJ[\w-]{10,}\.[\w-]+\.[\w-]+|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")
_QUIET = ("authlib", "urllib3", "sqlalchemy.engine", "celery.utils", "alembic")


class JsonLines(logging.Formatter):
    """Render a record as one line of JSON, with anything that looks like a secret blacked out."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a newline in a value stays inside its JSON string."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
            **{k: v for k, v in vars(record).items() if k not in _PLAIN},
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return _SECRETS.sub("[secret]", json.dumps(line, default=str, ensure_ascii=False))


def configure_logging(level: str) -> None:
    """Send everything to standard error as JSON lines; twice is harmless."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
