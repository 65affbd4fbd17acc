"""
stderr that is systemd's journal: a priority before each line, and no time of our own.

Source: systemd.exec(5) on JOURNAL_STREAM, sd-daemon(3) on the prefixes.
"""

import os
import sys
from collections.abc import Mapping

_PRIORITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}


def is_journal(environment: Mapping[str, str] = os.environ) -> bool:
    """
    Whether stderr goes to the journal, and not somewhere else in a unit's script.
    """
    named = environment.get("JOURNAL_STREAM")
    if not named or sys.stderr is None:
        return False
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return named == f"{found.st_dev}:{found.st_ino}"


def with_priority(text: str, level: str) -> str:
    """
    Return *text* with the priority of *level* before each of its lines.
    """
    prefix = f"<{_PRIORITIES.get(level, _PRIORITIES['INFO'])}>"
    return "\n".join(prefix + line for line in text.split("\n"))
