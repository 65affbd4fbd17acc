"""
What becomes of a task, and the ids whose fate is known beforehand.

    id                                      what happens
    ------------------------------------    ---------------------------------------------------
    00000000-0000-0000-0000-000000000000    NotExist
    sample-unknown                          NotExist
    sample-expired                          NotExist, as a result kept for 24 hours ends
    sample-error                            Error, one message
    sample-error-many                       Error, two messages and a warning
    sample-warning                          Completed, with a warning
    sample-lost                             Completed, ResultDataLost: no image
    sample-pending                          Pending for 3 s from the first question, then Completed
    sample-slow                             Processing for 2 s, then Completed
    sample-small                            Completed, 4 KiB
    sample-big                              Completed, 5 MiB

Any other id is a task that came in when the client's run began, behind those that were asked for
before it, and is Completed in its turn.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Script:
    """
    What becomes of a task once it is submitted.
    """

    failed: bool = False
    """Whether it ends in Error instead of Completed."""

    messages: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    held: float = 0
    """Seconds it stays Pending whatever the queue; it then takes no worker's time."""

    takes: float | None = None
    """Seconds it is worked on; None is the queue's own processing time."""

    lost: bool = False
    """Whether it completes without its image."""

    image: bytes | None = None
    """The image it completes with; None is a page drawn for its id."""

    page_bytes: int | None = None
    """About how large that page is; None goes by its id."""


WELL_KNOWN: Mapping[str, Script | None] = MappingProxyType(
    {
        "00000000-0000-0000-0000-000000000000": None,
        "sample-unknown": None,
        "sample-expired": None,
        "sample-error": Script(failed=True, messages=("The image is damaged: no pixels found.",)),
        "sample-error-many": Script(
            failed=True,
            messages=("The page cannot be straightened.", "No text lines were found."),
            warnings=("The resolution is below 150 dpi.",),
        ),
        "sample-warning": Script(warnings=("The resolution is below 150 dpi.",)),
        "sample-lost": Script(lost=True, warnings=("The result was lost in storage.",)),
        "sample-pending": Script(held=3, takes=0.5),
        "sample-slow": Script(takes=2),
        "sample-small": Script(page_bytes=4 * 2**10),
        "sample-big": Script(page_bytes=5 * 2**20),
    }
)
"""By id in lower case; None is an id the service says does not exist."""

_ORDINARY = Script()


def script_for(task_id: str) -> Script | None:
    """
    Return what becomes of *task_id*, or None if there never was such a task.
    """
    return WELL_KNOWN.get(task_id.lower(), _ORDINARY)
