"""Logs: JSON lines outside the demo, each with the id of the request or task, none with personal data."""

import json
import logging
import re
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

request_id: ContextVar[str] = ContextVar("request_id", default="-")

# What Python puts on every record; anything else was given with ``extra=``.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# ``request`` and ``server_time`` come from Django's own records, and say more than we want kept.
_DROPPED = frozenset({"request", "server_time", "color_message", "data"})

_EMAIL = re.compile(r"[^\s@<>\"(),;:\[\]\\]+@[^\s@<>\"(),;:\[\]\\]+")
_LONG_NUMBER = re.compile(r"(?<![\w.-])\+?\d[\d -]{6,}\d(?![\w.-])")
# PostgreSQL repeats the offending row: "DETAIL:  Key (email)=(...) already exists."
_DETAIL = re.compile(r"(DETAIL|CONTEXT):.*")


def scrub(text: str) -> str:
    """The text without e-mail addresses, phone numbers and the rows that database errors quote."""
    text = _DETAIL.sub(r"\1: [removed]", text)
    text = _EMAIL.sub("[e-mail]", text)
    return _LONG_NUMBER.sub("[number]", text)


class JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Render time, level, logger, message, request id, what was given as extra, and the traceback."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": scrub(record.getMessage()),
            "request_id": request_id.get(),
        }
        for name, value in vars(record).items():
            if name not in _STANDARD and name not in _DROPPED:
                line[name] = value if isinstance(value, int | float | bool | None) else scrub(str(value))
        if record.exc_info:
            line["traceback"] = scrub(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def configuration(*, as_json: bool, level: str) -> dict[str, Any]:
    """The ``LOGGING`` of Django, gunicorn and Celery alike."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {"()": JsonFormatter},
            "text": {"format": "%(asctime)s %(levelname)-7s %(name)s: %(message)s"},
        },
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "json" if as_json else "text"}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            # Django's own set-up would send these to standard error once more.
            "django": {"handlers": [], "propagate": True},
            "django.server": {"handlers": [], "propagate": True},
            "gunicorn.error": {"handlers": [], "propagate": True},
            # It writes whole addresses with what was searched for; ``config.requests`` logs the route instead.
            "gunicorn.access": {"handlers": [], "propagate": False, "level": "CRITICAL"},
        },
    }
