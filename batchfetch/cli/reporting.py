"""
Run `batchfetch report`, from its options to its exit code.
"""

import json
import logging
import os
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import click

from batchfetch.cli.format import number, size
from batchfetch.cli.logs import configure
from batchfetch.cli.main import COMMANDS
from batchfetch.cli.next_steps import next_steps, see_page
from batchfetch.cli.options import REPORT_PREFIX, LogFormat, LogLevel
from batchfetch.cli.report import ReportOptions
from batchfetch.cli.report_files import check_destination, check_format, write_file
from batchfetch.cli.report_text import figures_text, task_lines
from batchfetch.cli.sources import resolve, unknown_variables
from batchfetch.cli.streams import print_stdout, print_text
from batchfetch.cli.submit_report import show_submissions
from batchfetch.errors import SettingsError
from batchfetch.paths import is_store, report_at
from batchfetch.report.digest import Digest, Source
from batchfetch.report.figures import Figures
from batchfetch.report.reports import reports_at
from batchfetch.submission.figures import is_submit_report
from batchfetch.text import sanitize

log = logging.getLogger(__name__)

_DEFAULT = "images"

# Lines that are printed in one go.
_BLOCK = 1000


def report(ctx: click.Context) -> int:
    """
    Show or write what the reports in *ctx* say, and return the exit code.

    Raises `SettingsError` if the options are not valid or there is no report, `StorageError` if a
    report cannot be read or the file cannot be written.
    """
    configure(LogFormat.TEXT, LogLevel.INFO)
    for sentence in unknown_variables(ctx.command, os.environ, REPORT_PREFIX):
        log.warning("%s", sentence)
    options = resolve(ReportOptions, ctx)
    sources = find_reports(ctx.params["paths"] or [_DEFAULT])
    submitted = [source for source in sources if is_submit_report(source.path)]
    if submitted:
        _require_alone(submitted, sources)
        return show_submissions(submitted, options)
    output = options.output
    if output is not None:
        check_format(output)
    digest = Digest(
        sources, only=options.only, every_line=options.every_line, group_by=options.group_by
    )
    figures = digest.figures(price_per_call=options.price_per_call)
    _require_outcomes(figures)
    _require_column(figures, digest, options.group_by)
    if output is not None:
        _write(output, digest, figures)
    if options.as_json:
        print_stdout(json.dumps(figures.model_dump(mode="json")))
    elif output is None:
        _show(digest, figures, options)
    return 0


def find_reports(paths: Iterable[str]) -> Sequence[Source]:
    """
    Return the reports at *paths*, each once.

    A folder stands for the report in it and those of shards, and a report that is not there for
    those of its shards; logs of runs, which a pattern such as `*.jsonl` matches, are left out.
    Raises `SettingsError` if there is no report at one of them.
    """
    found: dict[str, Source] = {}
    for given in paths:
        for path in _paths_of(given):
            if not path.name.endswith(".runs.jsonl"):
                found.setdefault(os.path.realpath(path), Source(path, given))
    if not found:
        raise SettingsError("only logs of runs were given; give an output folder or a report")
    return list(found.values())


def _paths_of(given: str) -> Sequence[Path]:
    """
    Return the reports that *given* stands for, those of shards first.

    A merged report has copies of their lines, which count with the runs that they are from.
    """
    try:
        path = report_at(given)
        problem = None if path.is_file() else "no regular file" if path.exists() else "not there"
        found = reports_at(given)
    except ValueError as exc:
        raise SettingsError(f"{given}: {exc}") from None
    except OSError as exc:
        raise SettingsError(
            f"the report {given} cannot be read: {exc.strerror}; give an output folder or a report"
        ) from None
    if problem is not None and not found and is_store(given):
        raise SettingsError(
            f"{path}, the report of {given}, is {problem} in the working directory; go where fetch"
            " was run, or give the report"
        )
    if problem is None and path.suffix.lower() == ".parquet":
        problem = "a table in Parquet"
    elif problem is None or (found and not path.exists()):
        return sorted(found, key=lambda each: each == path)
    hint = "give an output folder or a report"
    if not path.exists():
        hint += ", or run batchfetch fetch first"
    raise SettingsError(f"the report {path} is {problem}; {hint}")


def _require_alone(submitted: Sequence[Source], sources: Sequence[Source]) -> None:
    others = [source for source in sources if source not in submitted]
    if others:
        raise SettingsError(
            f"{submitted[0].name} is a report of submit, and {others[0].name} is one of fetch;"
            " give them to two commands"
        )


def _require_outcomes(figures: Figures) -> None:
    # An empty report is one: of a run that was stopped before it had decided anything.
    if figures.unusable_lines and not figures.lines:
        names = ", ".join(figures.reports)
        raise SettingsError(
            f"{names}: none of the {number(figures.unusable_lines, 'line')} is an outcome; "
            "give an output folder or a report"
        )


def _require_column(figures: Figures, digest: Digest, column: str | None) -> None:
    if figures.groups is None or any(group.value is not None for group in figures.groups.groups):
        return
    if figures.tasks:
        known = ", ".join([*digest.columns, "manifest", "endpoint"])
        raise SettingsError(f"--group-by: no task has a column {column!r}; there are {known}")


def _write(path: Path, digest: Digest, figures: Figures) -> None:
    check_destination(path, digest)
    written = write_file(path, digest, figures)
    words = f"{path}: {number(figures.tasks, 'task')}, {size(written)}"
    log.info("%s", sanitize(words), extra={"block": True})


def _show(digest: Digest, figures: Figures, options: ReportOptions) -> None:
    if options.only is None:
        steps = [
            *next_steps(figures, digest.sources, COMMANDS, digest.columns),
            see_page(digest.sources),
        ]
        print_text(figures_text(figures, steps, options.price_per_call))
        return
    print_text(figures_text(figures, (), options.price_per_call) + "\n")
    lines = task_lines(digest.lines())
    while block := list(islice(lines, _BLOCK)):
        print_text("\n".join(block))
