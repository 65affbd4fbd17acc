"""
Log records on stderr, as text or as JSON.
"""

import json
import logging
import re
from datetime import UTC, datetime

from batchfetch.cli.options import LogFormat, LogLevel
from batchfetch.cli.streams import print_stderr
from batchfetch.text import sanitize

_MAX_LINE = 8000

# asyncio logs the repr of exceptions, and that of aiohttp's includes the request's headers.
_TOKEN = re.compile(
    r"""(\bbearer\s+|\b(?:client_secret|access_token)["']?\s*[=:]\s*["']?)[^\s"'&,;)}\]>]+""",
    re.IGNORECASE,
)


def configure(log_format: LogFormat, level: LogLevel) -> None:
    """
    Send batchfetch's log from *level* up, and the warnings of all other libraries, to stderr.
    """
    handler = StderrHandler()
    handler.setFormatter(JsonFormatter() if log_format is LogFormat.JSON else TextFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("batchfetch").setLevel(level.upper())


class StderrHandler(logging.Handler):
    """
    Write records to stderr; a closed stderr is ignored.
    """

    def emit(self, record: logging.LogRecord) -> None:
        print_stderr(self.format(record))


class TextFormatter(logging.Formatter):
    """
    Format a record as one line: `2026-01-31T12:00:00Z warning: …`.

    A record with `extra={"block": True}` is text of several lines and is not changed.
    """

    def format(self, record: logging.LogRecord) -> str:
        if getattr(record, "block", False):
            return record.getMessage()
        lines = [
            f"{_instant(record):%Y-%m-%dT%H:%M:%SZ} {record.levelname.lower()}: {_message(record)}",
            *_traceback(self, record),
        ]
        return "\n".join(lines)


class JsonFormatter(logging.Formatter):
    """
    Format a record as one JSON object, with the members of `extra={"fields": {…}}`.
    """

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": f"{_instant(record):%Y-%m-%dT%H:%M:%S.%fZ}",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
            **getattr(record, "fields", {}),
        }
        if traceback := _traceback(self, record):
            entry["traceback"] = "\n".join(traceback)
        return json.dumps(entry, ensure_ascii=False, default=str)


def _instant(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _message(record: logging.LogRecord) -> str:
    text = record.getMessage()
    if getattr(record, "block", False):
        text = text.replace("\n", "; ")
    return sanitize(redacted(text), _MAX_LINE)


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    if not record.exc_info:
        return []
    text = redacted(formatter.formatException(record.exc_info))
    return [sanitize(line, _MAX_LINE) for line in text.splitlines()]


def redacted(text: str) -> str:
    """
    Return *text* with asterisks wherever a token or a secret is expected.
    """
    return _TOKEN.sub(r"\1***", text)
