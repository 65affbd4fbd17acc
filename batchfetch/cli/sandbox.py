"""
The `batchfetch sandbox` command: a local stand-in for the service in a process of its own.
"""

import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict

import anyio
import click
from pydantic import BaseModel, ConfigDict

from batchfetch.cli.commands import Command
from batchfetch.cli.logs import configure
from batchfetch.cli.options import SANDBOX_PREFIX, LogFormat, LogLevel, options_of
from batchfetch.cli.sources import resolve, unknown_variables
from batchfetch.cli.streams import print_stdout
from batchfetch.sandbox import Exchange, Sandbox, SandboxSettings, open_sandbox

log = logging.getLogger(__name__)

_HELP = """Serve a local stand-in for the service until SIGINT or SIGTERM.

Its root URL is the first line on stdout; give it to fetch as --base-url.  It accepts any
credentials and draws a page for any task id.

Every option is also BATCHFETCH_SANDBOX_<OPTION> in the environment, also for fetch --sandbox.
"""


class SandboxOptions(BaseModel):
    """
    Options of `sandbox` that are not settings of the stand-in.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True
    )

    log_format: LogFormat = LogFormat.TEXT
    """How log lines on stderr are written."""

    log_level: LogLevel = LogLevel.WARNING
    """What is worth a log line; with info every request is."""


@click.pass_context
def _sandbox(ctx: click.Context, /, **_: object) -> int:
    # All of it, before anything is changed: a wrong value leaves the log of the process alone.
    options, settings = resolve(SandboxOptions, ctx), resolve(SandboxSettings, ctx)
    configure(options.log_format, options.log_level)
    _warn_of_unknown_variables(ctx)
    anyio.run(_serve, settings)
    return 0


@asynccontextmanager
async def open_beside_run() -> AsyncIterator[Sandbox]:
    """
    Run the stand-in during the block, for `fetch --sandbox`: as its variables and defaults say.

    Its log is the run's, at the level that is its own.
    """
    ctx = command.make_context("sandbox", [])
    _warn_of_unknown_variables(ctx)
    options, settings = resolve(SandboxOptions, ctx), resolve(SandboxSettings, ctx)
    log.setLevel(options.log_level.upper())
    tell = _log_request if log.isEnabledFor(logging.INFO) else None
    async with open_sandbox(settings, tell=tell) as sandbox:
        yield sandbox


def _warn_of_unknown_variables(ctx: click.Context) -> None:
    for sentence in unknown_variables(ctx.command, os.environ, SANDBOX_PREFIX):
        log.warning("%s", sentence)


async def _serve(settings: SandboxSettings) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with open_sandbox(settings, tell=_log_request) as sandbox:
            print_stdout(sandbox.url)
            async for _ in signals:
                return


def _log_request(exchange: Exchange) -> None:
    log.info("%s", exchange, extra={"fields": {"request": asdict(exchange)}})


command = Command(
    "sandbox",
    callback=_sandbox,
    help=_HELP,
    params=[
        *options_of(SandboxSettings, SANDBOX_PREFIX),
        *options_of(SandboxOptions, SANDBOX_PREFIX),
    ],
)
