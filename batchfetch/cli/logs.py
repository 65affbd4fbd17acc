"""
Log records on stderr, as text or as JSON.
"""

import json
import logging
import re
from datetime import UTC, datetime

from batchfetch.cli.journal import is_journal, with_priority
from batchfetch.cli.options import LogFormat, LogLevel
from batchfetch.cli.streams import print_stderr
from batchfetch.redaction import Redactor
from batchfetch.text import escape_json, sanitize

_MAX_LINE = 8000

# asyncio logs the repr of exceptions, and that of aiohttp's includes the request's headers.
_TOKEN = re.compile(
    r"""(
        \bbearer\s+
        | authorization["']?\s*[=:]\s*["']?\w+\s+
        | \b(?:client_id|client_secret|access_token)["']?\s*[=:]\s*["']?
    )[^\s"'&,;)}\]>]+""",
    re.IGNORECASE | re.VERBOSE,
)


def configure(log_format: LogFormat, level: LogLevel) -> None:
    """
    Send batchfetch's log from *level* up, and the warnings of all other libraries, to stderr.
    """
    journal = is_journal()
    handler = StderrHandler(journal=journal)
    handler.setFormatter(
        JsonFormatter() if log_format is LogFormat.JSON else TextFormatter(timed=not journal)
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("batchfetch").setLevel(level.upper())


def hide(secrets: Redactor) -> None:
    """
    Remove *secrets* from the log from now on.
    """
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, LineFormatter):
            handler.formatter.secrets = secrets


def log_at_once(sentence: str) -> None:
    """
    Write *sentence* to stderr as an error in JSON, without a configured log.
    """
    record = logging.LogRecord("batchfetch", logging.ERROR, "", 0, "%s", (sentence,), None)
    handler = StderrHandler(journal=is_journal())
    handler.setFormatter(JsonFormatter())
    handler.emit(record)


class StderrHandler(logging.Handler):
    """
    Write records to stderr, each line with its priority if that is the *journal*.

    A closed stderr is ignored.
    """

    def __init__(self, *, journal: bool = False) -> None:
        super().__init__()
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        print_stderr(with_priority(text, record.levelname) if self._journal else text)


class LineFormatter(logging.Formatter):
    """
    Base of the formats: messages and tracebacks on single lines, without secrets.
    """

    secrets = Redactor()

    def message(self, record: logging.LogRecord) -> str:
        """
        Return the message of *record*.

        Our own are made of text that holds no part of a secret any more, and may name a file whose
        name looks like one.
        """
        text = record.getMessage()
        if getattr(record, "block", False):
            text = text.replace("\n", "; ")
        text = redacted(text)
        is_ours = record.name.partition(".")[0] == "batchfetch"
        text = self.secrets.remove_whole(text) if is_ours else self.secrets(text)
        return sanitize(text, _MAX_LINE)

    def traceback(self, record: logging.LogRecord) -> list[str]:
        """
        Return the lines of the traceback of *record*; without one there are none.
        """
        if not record.exc_info:
            return []
        text = self.secrets(redacted(self.formatException(record.exc_info)))
        return [sanitize(line, _MAX_LINE) for line in text.splitlines()]


class TextFormatter(LineFormatter):
    """
    Format a record as one line: `2026-01-31T12:00:00Z warning: …`, without the time if not *timed*.

    A record with `extra={"block": True}` is text of several lines and is not changed.
    """

    def __init__(self, *, timed: bool = True) -> None:
        super().__init__()
        self._timed = timed

    def format(self, record: logging.LogRecord) -> str:
        if getattr(record, "block", False):
            return record.getMessage()
        time = f"{_instant(record):%Y-%m-%dT%H:%M:%SZ} " if self._timed else ""
        lines = [
            f"{time}{record.levelname.lower()}: {self.message(record)}",
            *self.traceback(record),
        ]
        return "\n".join(lines)


class JsonFormatter(LineFormatter):
    """
    Format a record as one JSON object, with the members of `extra={"fields": {…}}`.
    """

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": f"{_instant(record):%Y-%m-%dT%H:%M:%S.%fZ}",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self.message(record),
            **getattr(record, "fields", {}),
        }
        if traceback := self.traceback(record):
            entry["traceback"] = "\n".join(traceback)
        # Members such as names of a manifest are as they were given.
        return escape_json(json.dumps(entry, ensure_ascii=False, default=str))


def _instant(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def redacted(text: str) -> str:
    """
    Return *text* with asterisks wherever a token or a secret is expected.
    """
    return _TOKEN.sub(r"\1***", text)
