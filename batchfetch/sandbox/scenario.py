"""
Scripted results of the stand-in's tasks, including those of the well-known ids.

    id                                      result
    ------------------------------------    ---------------------------------------------------
    00000000-0000-0000-0000-000000000000    NotExist
    sample-unknown                          NotExist
    sample-expired                          NotExist, like a result after 24 hours
    sample-error                            Error, one message
    sample-error-many                       Error, two messages and a warning
    sample-warning                          Completed, with a warning
    sample-lost                             Completed, ResultDataLost: no image
    sample-pending                          Pending for 3 s from the first request, then Completed
    sample-slow                             Processing for 2 s, then Completed
    sample-small                            Completed, 4 KiB
    sample-big                              Completed, 5 MiB

Any other id is a task that was submitted when the client's run began, after those requested before
it, and is Completed in its turn.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Script:
    """
    The processing and the result of a task.
    """

    failed: bool = False
    """Whether it ends in Error instead of Completed."""

    messages: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    held: float = 0
    """Seconds it stays Pending, independent of the queue; if not 0, it occupies no worker."""

    takes: float | None = None
    """Seconds of processing; None for the processing time of the queue."""

    lost: bool = False
    """Whether it completes without an image."""

    image: bytes | None = None
    """The image it completes with; None for a page drawn for its id."""

    page_bytes: int | None = None
    """The approximate size of that page in bytes; None for one that depends on the id."""


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
"""Scripts by id in lower case; None for an id that does not exist."""

_ORDINARY = Script()


def script_for(task_id: str) -> Script | None:
    """
    Return the script of *task_id*, or None if there is no such task.
    """
    return WELL_KNOWN.get(task_id.lower(), _ORDINARY)
