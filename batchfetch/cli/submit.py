"""
The `batchfetch submit` command: its arguments, options and help.
"""

import os
from collections.abc import Sequence

import click

from batchfetch.cli.commands import Command
from batchfetch.cli.imports import kept
from batchfetch.cli.options import (
    SHARED,
    SUBMIT_PREFIX,
    OutputOptions,
    config_option,
    names_of,
    options_of,
)
from batchfetch.errors import SettingsError
from batchfetch.submit_settings import SubmitSettings

_LINE = "batchfetch submit scans -o manifest.jsonl"

_HELP = """Submit images; a manifest of their task ids comes out, which fetch reads.

A SOURCE is an image, a folder that is searched for images, `-` for paths on standard input, or a
table with a column source: a manifest, or a report of fetch.

What the report says was accepted is not sent again, and neither is what may have been accepted: an
image whose answer was lost is Uncertain.

Every option is also BATCHFETCH_SUBMIT_<OPTION> in the environment and a key of the table [submit]
in the TOML file given with --config; base URL, CA file and credentials are those of fetch.

Exit codes: 0 everything was accepted, now or before, 2 nothing was sent, 3 some images were not
accepted, 4 stopped by a limit, 5 credentials, 6 disk, 7 another run is on, 8 the service cannot be
reached or turns every request away, 130 and 143 stopped by a signal.
"""

_SOURCE = "source"
"""The key of the settings file that stands for the argument."""

_GROUPS = {
    "What to submit": ("endpoint", "only", "again", "retry"),
    "To where, and what comes out": ("base_url", "ca_file", "sandbox", "output", "report"),
    "How fast": ("concurrency", "rate"),
    "How long": ("attempts", "connect_timeout", "read_timeout", "outage"),
    "Limits of the run": ("max_calls", "max_runtime"),
    "What it tells": (
        *("dry_run", "price_per_call", "json", "progress", "log_format", "log_level"),
    ),
    "Settings": ("durability", "config", "help"),
}

_EXAMPLES = (
    ("what it would take, and what it would cost", f"{_LINE} --dry-run --price-per-call 0.03"),
    (
        "both at once: results are fetched while images go out",
        "batchfetch submit scans -o - | batchfetch fetch - --manifest-format jsonl",
    ),
    (
        "again, what has expired or failed",
        "batchfetch submit images/report.jsonl --only NotExist,Error -o again.jsonl",
    ),
)


class SubmitRunOptions(OutputOptions):
    """
    Options of `submit` that are not settings of the library.
    """

    dry_run: bool = False
    """Say what would be submitted and what it takes; touch nothing, send nothing."""


@click.pass_context
def _submit(ctx: click.Context, /, **_: object) -> int:
    # The imports of a run take longer than printing --help.
    with kept():
        from batchfetch.cli.submitting import run  # noqa: PLC0415

    return run(ctx, os.environ)


def _load_config(ctx: click.Context, _: click.Parameter, path: str | None) -> str | None:
    """
    Make the settings in the table [submit] of the file at *path*, and what is shared with fetch,
    the defaults of *ctx*.
    """
    if path:
        with kept():
            from batchfetch.cli.config_file import read_config  # noqa: PLC0415

        known = [*names_of(SubmitSettings), *names_of(SubmitRunOptions), _SOURCE]
        values = read_config(path, known, table="submit", shared=SHARED)
        if _SOURCE in values:
            values["sources"] = _sources_in(path, values.pop(_SOURCE))
        ctx.default_map = values
    return path


def _sources_in(path: str, value: object) -> list[str]:
    """
    Return the sources that the key of the file at *path* names: one path, or a list of them.
    """
    sources = [value] if isinstance(value, str) else value
    if not isinstance(sources, list) or not all(isinstance(each, str) for each in sources):
        raise SettingsError(f"{path}: {_SOURCE} is not valid; give a path, or a list of paths")
    return sources


def _require_sources(ctx: click.Context, _: click.Parameter, sources: Sequence[str]) -> list[str]:
    if not sources:
        raise click.UsageError(
            "no SOURCE is given; name an image, a folder, a table or -, or set source in the table"
            " [submit] of the file that --config names",
            ctx,
        )
    return list(sources)


command = Command(
    "submit",
    callback=_submit,
    help=_HELP,
    groups=_GROUPS,
    examples=_EXAMPLES,
    params=[
        click.Argument(["sources"], nargs=-1, metavar="SOURCE...", callback=_require_sources),
        *options_of(SubmitSettings, SUBMIT_PREFIX),
        *options_of(SubmitRunOptions, SUBMIT_PREFIX),
        config_option(
            _load_config,
            "A TOML file; its table [submit] has these options, and the key source for SOURCE",
        ),
    ],
)
