"""
The `batchfetch fetch` command: its arguments, options and help.
"""

import os
from collections.abc import Sequence

import click

from batchfetch.cli.commands import Command
from batchfetch.cli.imports import kept
from batchfetch.cli.options import PREFIX, RunOptions, config_option, names_of, options_of
from batchfetch.errors import SettingsError
from batchfetch.settings import Settings

_LINE = "batchfetch fetch manifest.csv -o images"

_HELP = """Fetch the image of every task in the MANIFESTs, `-` for standard input.

A manifest is .txt (one id a line), .csv or .tsv (with a header) or .jsonl, each also as .gz; or
.parquet, also a folder of part files, with the extra parquet.

Every option is also BATCHFETCH_<OPTION> in the environment (--max-calls is
BATCHFETCH_MAX_CALLS) and a key of the TOML file given with --config.  Credentials are taken from
the environment only: BATCHFETCH_CLIENT_ID and BATCHFETCH_CLIENT_SECRET, or
BATCHFETCH_ACCESS_TOKEN.

Exit codes: 0 everything is Completed, 2 nothing was asked, 3 some tasks did not end Completed, 4
stopped by a limit, 5 credentials, 6 disk, 7 another run is on, 8 the service cannot be reached or
turns every request away, 130 and 143 stopped by a signal.
"""

_MANIFEST = "manifest"
"""The key of the settings file that stands for the argument."""

_GROUPS = {
    "What to fetch": ("endpoint", "manifest_format", "id_column", "name_column", "shard"),
    "From where, and where to": ("base_url", "ca_file", "sandbox", "output", "report"),
    "Images": ("max_image_bytes", "checksum", "durability"),
    "How fast": (
        "concurrency",
        "rate",
        "polling",
        "compressed",
        "cluster",
        "chunk",
        "insecure_cluster",
    ),
    "How long": ("attempts", "patience", "connect_timeout", "read_timeout", "outage"),
    "Limits of the run": ("max_calls", "max_runtime"),
    "Earlier runs": ("retry", "overwrite", "replace", "adopt"),
    "What it tells": (
        *("dry_run", "price_per_call", "json", "fail_on"),
        *("progress", "log_format", "log_level", "metrics_file"),
    ),
    "Settings": ("config", "help"),
}

_EXAMPLES = (
    ("no network and no credentials: see how it looks", "batchfetch fetch ids.txt --sandbox"),
    ("what it would take, and what it would cost", f"{_LINE} --dry-run --price-per-call 0.03"),
    ("again tonight, with what has failed or expired", f"{_LINE} --retry Failed,TimedOut,NotExist"),
)


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

        known = [*names_of(Settings), *names_of(RunOptions), _MANIFEST]
        values = read_config(path, known)
        if _MANIFEST in values:
            values["manifests"] = _manifests_in(path, values.pop(_MANIFEST))
        ctx.default_map = values
    return path


def _manifests_in(path: str, value: object) -> list[str]:
    """
    Return the manifests that the key of the file at *path* names: one path, or a list of them.
    """
    manifests = [value] if isinstance(value, str) else value
    if not isinstance(manifests, list) or not all(isinstance(each, str) for each in manifests):
        raise SettingsError(f"{path}: {_MANIFEST} is not valid; give a path, or a list of paths")
    return manifests


def _require_manifests(
    ctx: click.Context, _: click.Parameter, manifests: Sequence[str]
) -> list[str]:
    """
    Return *manifests*, with the user's home folder for a `~` that no shell has replaced.
    """
    if not manifests:
        raise click.UsageError(
            "no MANIFEST is given; name one, or set manifest in the file that --config names", ctx
        )
    # What cannot be replaced stays as it is.
    return [os.path.expanduser(each) for each in manifests]  # noqa: PTH111


command = Command(
    "fetch",
    callback=_fetch,
    help=_HELP,
    groups=_GROUPS,
    examples=_EXAMPLES,
    params=[
        click.Argument(["manifests"], nargs=-1, metavar="MANIFEST...", callback=_require_manifests),
        *options_of(Settings, PREFIX),
        *options_of(RunOptions, PREFIX),
        config_option(
            _load_config,
            "A TOML file of options, with the key manifest for MANIFEST; relative paths in it "
            "start at the working directory",
        ),
    ],
)
