"""
`batchfetch sandbox`: the stand-in for the service, as a process of its own.
"""

import logging
import os
import signal
from collections.abc import Mapping
from typing import Any

import anyio
import click

from batchfetch.cli.logs import configure
from batchfetch.cli.options import LogFormat, LogLevel, names_of, options_of
from batchfetch.cli.sources import resolve, typed_options, unknown_variables, variables
from batchfetch.cli.streams import print_stdout
from batchfetch.sandbox import SandboxSettings, open_sandbox

__all__ = ["command", "from_environment", "open_sandbox"]

log = logging.getLogger(__name__)

_PREFIX = "BATCHFETCH_SANDBOX_"
_HELP = """Serve a local stand-in for the service until SIGINT or SIGTERM.

Its root URL is the first line on stdout; give it to fetch as --base-url.  It accepts any
credentials and draws a page for any task id.

Every option is also BATCHFETCH_SANDBOX_<OPTION> in the environment, also for fetch --sandbox.
"""


def _sandbox(**values: Any) -> int:
    configure(LogFormat.TEXT, LogLevel.INFO)
    anyio.run(_serve, from_environment(os.environ, values))
    return 0


def from_environment(
    environment: Mapping[str, str], typed: Mapping[str, Any] | None = None
) -> SandboxSettings:
    """
    Return the stand-in's settings: what was *typed*, else the variables, else the defaults.
    """
    names = names_of(SandboxSettings)
    known = [_PREFIX + name.upper() for name in names]
    for sentence in unknown_variables(environment, _PREFIX, known):
        log.warning("%s", sentence)
    sources = [typed_options(typed or {}), variables(environment, names, _PREFIX)]
    return resolve(SandboxSettings, sources)


async def _serve(settings: SandboxSettings) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with open_sandbox(settings) as sandbox:
            print_stdout(sandbox.url)
            async for _ in signals:
                return


command = click.Command(
    "sandbox", callback=_sandbox, help=_HELP, params=options_of(SandboxSettings)
)
