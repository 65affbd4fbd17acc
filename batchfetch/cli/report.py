"""
The `batchfetch report` command: its arguments, options and help.
"""

from typing import Annotated

import click
from pydantic import BaseModel, Field

from batchfetch.cli.commands import Command
from batchfetch.cli.imports import kept
from batchfetch.cli.options import (
    OPTIONS_CONFIG,
    REPORT_PREFIX,
    config_option,
    names_of,
    options_of,
)
from batchfetch.setting_values import ChosenOutcomes, FilePath

_HELP = """Say what became of it all: on the terminal, as a page, as a table.

A PATH is an output folder, or a report; several are one report.  The last line of each task
counts.  The default is the folder `images`.

With --output the suffix chooses what is written: .html a page that needs nothing else, .csv,
.jsonl or, with the extra parquet, .parquet a table of the tasks that is also a manifest.

Every option is also BATCHFETCH_REPORT_<OPTION> in the environment, and a key of the table [report]
in the TOML file given with --config.

Exit codes: 0 whatever became of the tasks, 2 there is no report, 6 the file cannot be written.
"""

_EXAMPLES = (
    ("what became of the tasks in ./images, and what to do next", "batchfetch report"),
    ("a page to look at, with the images", "batchfetch report images -o night.html"),
    ("what failed, as a manifest", "batchfetch report images --only Failed -o failed.csv"),
)


class ReportOptions(BaseModel):
    """
    Options of `report`.
    """

    model_config = OPTIONS_CONFIG

    output: FilePath | None = Field(default=None, json_schema_extra={"metavar": "FILE"})
    """Write a page or a table: .html, .csv, .jsonl or .parquet [default: text on stdout]."""

    only: ChosenOutcomes | None = None
    """Only tasks with one of these outcomes; on the terminal each has a line."""

    # The names of functions.
    every_line: bool = Field(default=False, alias="all")
    """Every line of the reports, not just the last one of each task."""

    as_json: bool = Field(default=False, alias="json")
    """Print the figures on stdout as one JSON object."""

    group_by: str | None = None
    """Count also by a column of the manifest, such as a customer."""

    price_per_call: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """What one call costs; adds money to the figures."""


@click.pass_context
def _report(ctx: click.Context, /, **_: object) -> int:
    # Printing --help needs no reader of reports.
    with kept():
        from batchfetch.cli.reporting import report  # noqa: PLC0415

    return report(ctx)


def _load_config(ctx: click.Context, _: click.Parameter, path: str | None) -> str | None:
    """
    Make the settings in the table [report] of the file at *path* the defaults of *ctx*.
    """
    if path:
        with kept():
            from batchfetch.cli.config_file import read_config  # noqa: PLC0415

        ctx.default_map = read_config(path, names_of(ReportOptions), table="report")
    return path


command = Command(
    "report",
    callback=_report,
    help=_HELP,
    examples=_EXAMPLES,
    params=[
        click.Argument(["paths"], nargs=-1, metavar="[PATH]..."),
        *options_of(ReportOptions, REPORT_PREFIX),
        config_option(
            _load_config,
            "A TOML file; its table [report] has these options",
        ),
    ],
)
