"""
What driver, scheduler and workers say to each other, as plain values.

`PROTOCOL` changes with each change of meaning: processes of different ones do not work together.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from batchfetch.errors import (
    BatchFetchError,
    CredentialsError,
    ReportError,
    SettingsError,
    StorageError,
    TurnedAwayError,
    UnavailableError,
    UnreachableError,
)
from batchfetch.models import Job, JobState, Outcome
from batchfetch.settings import Settings

PROTOCOL = 3

Message = dict[str, Any]

GONE: Message = {"gone": True}
"""The answer to a worker that is to stop at once."""

# Settings that are the driver's to obey.
_DRIVERS = {
    *("report", "shard", "rate", "max_calls", "max_runtime", "price_per_call"),
    *("retry", "fail_on", "id_column", "name_column"),
}

_ERRORS: dict[str, type[BatchFetchError]] = {
    kind.__name__: kind
    for kind in (
        *(CredentialsError, ReportError, SettingsError, StorageError),
        *(TurnedAwayError, UnavailableError, UnreachableError),
    )
}


def protocol() -> int:
    """
    Return the protocol of this process.
    """
    return PROTOCOL


def jobs_to_wire(states: Sequence[JobState]) -> bytes:
    """
    Return the jobs of *states*, which have not been asked about.
    """
    return json.dumps(
        [
            [
                *(state.ordinal, state.failed_earlier),
                *(*state.job[:3], _text(state.job.submitted_at), *state.job[4:]),
            ]
            for state in states
        ]
    ).encode()


def jobs_from_wire(data: bytes) -> list[JobState]:
    """
    Return the jobs in *data*, to be asked about.
    """
    return [
        JobState(
            Job(task_id, filename, name, _time(submitted_at), *rest),
            ordinal,
            failed_earlier=failed_earlier,
        )
        for ordinal, failed_earlier, task_id, filename, name, submitted_at, *rest in json.loads(
            data
        )
    ]


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def outcomes_to_wire(outcomes: Sequence[Outcome]) -> list[bytes]:
    """
    Return *outcomes* as lines.
    """
    return [outcome.model_dump_json(by_alias=True).encode() for outcome in outcomes]


def outcome_from_wire(line: bytes) -> Outcome:
    """
    Return the outcome that *line* says.
    """
    return Outcome.model_validate_json(line)


def settings_to_wire(settings: Settings) -> str:
    """
    Return what a worker needs of *settings*: what is the driver's to decide is left out.
    """
    values = settings.model_dump(mode="json", exclude=_DRIVERS, exclude_defaults=True)
    if isinstance(settings.output, Path):
        values["output"] = str(settings.output.absolute())
    return json.dumps(values)


def settings_from_wire(text: str) -> Settings:
    """
    Return the settings in *text*.
    """
    return Settings(**json.loads(text))


def error_to_wire(error: BatchFetchError) -> Message:
    """
    Return *error*, one of those that end a run.
    """
    return {"kind": type(error).__name__, "text": str(error)}


def error_from_wire(message: Message) -> BatchFetchError:
    """
    Return the error in *message*.
    """
    return _ERRORS[message["kind"]](message["text"])
