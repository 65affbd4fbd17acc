"""
`batchfetch fetch`: what it takes, and what it says of itself.
"""

import os
from typing import Any

import click

from batchfetch.cli.imports import kept
from batchfetch.cli.options import RunOptions, options_of
from batchfetch.settings import Settings

_HELP = """Fetch the image of every task in the MANIFESTs, `-` for standard input.

A manifest is .txt (one id a line), .csv or .tsv (with a header) or .jsonl, each also as .gz.

Every option is also BATCHFETCH_<OPTION> in the environment (--max-calls is
BATCHFETCH_MAX_CALLS) and a key of the TOML file given with --config.  Credentials are taken from
the environment only: BATCHFETCH_CLIENT_ID and BATCHFETCH_CLIENT_SECRET, or
BATCHFETCH_ACCESS_TOKEN.

Exit codes: 0 everything is Completed, 2 nothing was asked, 3 some tasks did not end Completed, 4
stopped by a limit, 5 credentials, 6 disk, 7 another run is on, 130 and 143 stopped by a signal.
"""


def _fetch(manifests: tuple[str, ...], config: str | None, **values: Any) -> int:
    # What a run needs takes longer to import than --help takes to be printed.
    with kept():
        from batchfetch.cli.run import run  # noqa: PLC0415

    return run(manifests, config, values, os.environ)


command = click.Command(
    "fetch",
    callback=_fetch,
    help=_HELP,
    params=[
        click.Argument(["manifests"], nargs=-1, required=True, metavar="MANIFEST..."),
        *options_of(Settings),
        *options_of(RunOptions),
        click.Option(
            ["config", "--config"],
            metavar="FILE",
            help="A TOML file of options; relative paths in it start at the working directory",
        ),
    ],
)
