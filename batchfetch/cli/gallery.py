"""
Lists on the page that are cut off: tasks that went wrong, and a contact sheet of the images.
"""

import os
from collections.abc import Iterator, Sequence
from itertools import chain, islice, zip_longest
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from batchfetch.cli.format import number, size
from batchfetch.cli.markup import filter_field, table, text
from batchfetch.models import OutcomeStatus
from batchfetch.report.digest import Digest
from batchfetch.report.entries import Entry
from batchfetch.report.tasks import Task

MOST_ROWS = 1000
MOST_IMAGES = 1500

# Rows on paper, as in the page's style.
_PRINTED = 100

_COMPLETED = OutcomeStatus.COMPLETED

# What browsers show of the formats that are submitted.
_SHOWN = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp"})


def wrong_tasks(digest: Digest, count: int) -> str:
    """
    Return a table of the *count* tasks that did not end Completed, or of some for each reason.
    """
    by_kind: dict[tuple[OutcomeStatus, str | None], list[Task]] = {}
    for task in digest.tasks():
        kind = task.kind
        if kind.outcome is not _COMPLETED:
            alike = by_kind.setdefault((kind.outcome, kind.reason), [])
            if len(alike) < MOST_ROWS:
                alike.append(task)
    # In turn one of each reason, so that the rare ones are there, too.
    in_turn = (task for tasks in zip_longest(*by_kind.values()) for task in tasks if task)
    entries = [entry for *_, entry in digest.entries(islice(in_turn, MOST_ROWS))]
    outcomes = ",".join(sorted({outcome.value for outcome, _ in by_kind}))
    heads = ("Task", "Outcome", "Reason", "What happened", "Calls", "Decided (UTC)", "Row")
    rows = table(heads, map(_row, entries), numbers=[4], short=[1, 2, 5])
    return "\n".join(
        (
            filter_field("wrong-filter", "#wrong-rows tbody tr", "Only rows with"),
            _cut(
                len(entries),
                count,
                "task",
                f"batchfetch report … --only {outcomes} -o wrong.csv lists them all",
            ),
            _on_paper(len(entries)),
            f'<div id="wrong-rows">{rows}</div>',
        )
    )


def _on_paper(rows: int) -> str:
    if rows <= _PRINTED:
        return ""
    return f'<p class="quiet paper">On paper the first {_PRINTED} of {rows}.</p>'


def _row(entry: Entry) -> Sequence[str]:
    known = [str(value) for value in (entry.task_id, entry.name) if value]
    where = f"{entry.manifest}:{entry.line}" if entry.manifest and entry.line else ""
    return (
        " · ".join(known) or "(no id)",
        entry.status.value,
        entry.reason or "",
        entry.detail or "; ".join(entry.messages),
        f"{entry.calls}",
        str(entry.finished_at or "")[:19].replace("T", " "),
        where,
    )


def _cut(shown: int, count: int, noun: str, pointer: str) -> str:
    if shown >= count:
        return ""
    return f'<p class="quiet">{shown} of {number(count, noun)}: {text(pointer)}.</p>'


def contact_sheet(digest: Digest, page: Path, count: int) -> str:
    """
    Return the images, of which there are *count*, with links relative to *page*.

    If they are too many, those with a warning come first.
    """
    warned = _completed(digest, warned=True)
    others = _completed(digest, warned=False)
    chosen = islice(chain(warned, others), MOST_IMAGES)
    sources = range(len(digest.sources))
    outputs = [digest.outputs(source) for source in sources]
    stores = [digest.store(source) for source in sources]
    items = [
        _item(entry, entry.path, _found(entry.path, outputs[source]), page, stores[source])
        for source, _, entry in digest.entries(chosen)
        if entry.path is not None
    ]
    inner = "\n".join(items)
    return "\n".join(
        (
            filter_field("image-filter", "#images li", "Only images with"),
            _cut(len(items), count, "image", "the others are in the same folders"),
            f'<ul class="sheet">\n{inner}\n</ul>',
        )
    )


def _completed(digest: Digest, *, warned: bool) -> Iterator[Task]:
    for task in digest.tasks():
        if task.kind.outcome is _COMPLETED and task.kind.has_warnings is warned:
            yield task


def _found(path: str, outputs: Sequence[Path]) -> Path | None:
    """
    Return the image at *path* in one of *outputs*; None if it is in none of them.
    """
    name = PurePosixPath(path)
    if name.is_absolute() or ".." in name.parts:
        return None
    return next((file for output in outputs if _is_file(file := output / name)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # A name that no file can have.
        return False


def _item(entry: Entry, path: str, image: Path | None, page: Path, store: str | None) -> str:
    words = "".join(
        f'<span class="warned">{text(warning, 120)}</span>' for warning in entry.warnings[:2]
    )
    caption = (
        f"<span>{text(path.removesuffix('.png'), 120)}</span>"
        f'<span class="quiet">{size(entry.bytes or 0)}</span>{words}'
    )
    if image is None:
        where = "not there" if store is None else f"in {text(store, 120)}"
        return f'<li><div class="missing">{where}</div>{caption}</li>'
    before = _source(entry)
    shown = _picture(image, page, path)
    if before is not None:
        shown = f"{_picture(before, page, f'before: {path}')}{shown}"
        return f'<li class="pair"><div>{shown}</div>{caption}</li>'
    return f"<li>{shown}{caption}</li>"


def _source(entry: Entry) -> Path | None:
    """
    Return the image that was submitted, if the manifest has it and a browser can show it.
    """
    source = entry.extra.get("source")
    if not isinstance(source, str):
        return None
    path = Path(source)
    return path if path.suffix.lower() in _SHOWN and _is_file(path) else None


def _picture(image: Path, page: Path, words: str) -> str:
    link = text(_relative(image, page), 4000)
    return (
        f'<a href="{link}"><img src="{link}" loading="lazy" decoding="async" '
        f'alt="{text(words, 120)}"></a>'
    )


def _relative(image: Path, page: Path) -> str:
    # Resolved, because a browser knows nothing of symbolic links.
    folder = os.path.realpath(page.parent)
    return quote(Path(os.path.relpath(os.path.realpath(image), folder)).as_posix())
