"""
Data types of what is to be submitted: an image, or a source that cannot be.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from pydantic import JsonValue


class Refusal(StrEnum):
    """
    Why a source that was named cannot be submitted: the `reason` of its `Invalid` line.
    """

    BAD_ROW = "bad_row"
    """The row of a table names no source, or something in it cannot be used."""

    BAD_NAME = "bad_name"
    """The image would get a name that `fetch` does not take, or that another image has."""

    NOT_IMAGE = "not_image"
    """The file is there, and its content is none of the image formats."""

    EMPTY = "empty"
    """The file has no bytes."""

    UNREADABLE = "unreadable"
    """The file or folder is missing, or may not be read, or is no file that could be."""


@dataclass(frozen=True, slots=True)
class SourceImage:
    """
    An image that is to be submitted.
    """

    path: Path
    """Absolute."""

    name: str
    """The name that its result gets below OUTPUT, with `/` between folders; valid for `fetch`."""

    endpoint: str | None = None
    """The endpoint that its row names, by its short name; None to use that of the settings."""

    key: str | None = None
    """The id of the task that this submission repeats, for a row of a fetch report: each id is
    submitted again once.  None if the image's bytes and the endpoint are the key."""

    extra: Mapping[str, JsonValue] = field(default_factory=dict)
    """The table's own columns, and `resubmits` with the task id that the row had, if it had one."""

    manifest: str | None = None
    """The table that it comes from; None for a file that was named or found in a folder."""

    line: int | None = None


@dataclass(frozen=True, slots=True)
class RefusedSource:
    """
    A source that was named and cannot be submitted, and why: an `Invalid` line of the report.
    """

    source: str | None
    """The absolute path as text; None if the row of a table has none."""

    reason: Refusal
    detail: str
    """One sentence for a person."""

    name: str | None = None
    endpoint: str | None = None
    extra: Mapping[str, JsonValue] = field(default_factory=dict)
    manifest: str | None = None
    line: int | None = None
