"""
`batchfetch fetch`: what was typed, set and written down becomes settings; then the run begins.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from typing import Any

import click

from batchfetch.cli.config_file import read_config
from batchfetch.cli.logs import configure
from batchfetch.cli.options import (
    SECRETS,
    Place,
    RunOptions,
    names_of,
    options_of,
    resolve,
    typed_options,
    unknown_variables,
    variables,
)
from batchfetch.errors import SettingsError
from batchfetch.settings import Settings

log = logging.getLogger(__name__)

_PREFIX = "BATCHFETCH_"
_SANDBOX = "BATCHFETCH_SANDBOX_"
_NAMES = [*names_of(Settings), *names_of(RunOptions)]
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
    environment = os.environ
    config = config or environment.get(f"{_PREFIX}CONFIG")
    typed = typed_options(values)
    places = [typed, variables(environment, _NAMES, _PREFIX)]
    if config:
        places.append(read_config(config, _NAMES))
    options = resolve(RunOptions, places)
    settings = resolve(Settings, places)
    _require_one_service(options, typed)

    configure(options.log_format, options.log_level)
    for sentence in strange_variables(environment):
        log.warning("%s", sentence)
    # Only now: what a run needs takes longer to import than --help takes to be printed.
    from batchfetch.cli.run import run  # noqa: PLC0415

    return run(manifests, settings, options, environment)


def _require_one_service(options: RunOptions, typed: Place) -> None:
    if options.sandbox and "base_url" in typed.values:
        raise SettingsError("--base-url and --sandbox exclude each other")


def strange_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """
    Yield a sentence about each variable that looks like one of ours and is none: a misspelt one.

    Those of the sandbox are its own affair.
    """
    known = [*_NAMES, "config", *SECRETS, *(f"{name}_file" for name in SECRETS)]
    ours = {name: text for name, text in environment.items() if not name.startswith(_SANDBOX)}
    yield from unknown_variables(ours, _PREFIX, [_PREFIX + name.upper() for name in known])


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
