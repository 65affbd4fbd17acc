"""
The `batchfetch fetch` command: its arguments, options and help.
"""

import os

import click

from batchfetch.cli.imports import kept
from batchfetch.cli.options import PREFIX, RunOptions, names_of, options_of
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


@click.pass_context
def _fetch(ctx: click.Context, /, **_: object) -> int:
    # The imports of a run take longer than printing --help.
    with kept():
        from batchfetch.cli.run import run  # noqa: PLC0415

    return run(ctx, os.environ)


def _load_config(ctx: click.Context, _: click.Parameter, path: str | None) -> str | None:
    """
    Make the settings in the file at *path* the defaults of the options of *ctx*.
    """
    if path:
        with kept():  # A parser of TOML, and the names of the credentials.
            from batchfetch.cli.config_file import read_config  # noqa: PLC0415

        ctx.default_map = read_config(path, [*names_of(Settings), *names_of(RunOptions)])
    return path


command = click.Command(
    "fetch",
    callback=_fetch,
    help=_HELP,
    params=[
        click.Argument(["manifests"], nargs=-1, required=True, metavar="MANIFEST..."),
        *options_of(Settings, PREFIX),
        *options_of(RunOptions, PREFIX),
        click.Option(
            ["config", "--config"],
            metavar="FILE",
            envvar=f"{PREFIX}CONFIG",
            is_eager=True,  # Before the other options look up their defaults.
            callback=_load_config,
            help="A TOML file of options; relative paths in it start at the working directory",
        ),
    ],
)
