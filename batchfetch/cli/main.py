"""
The command's front door: which subcommand, and how it ends.
"""

import os
import threading
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

import click

from batchfetch.cli.imports import kept
from batchfetch.cli.streams import hold_standard_streams, print_stderr
from batchfetch.errors import BatchFetchError
from batchfetch.exit_codes import ExitCode, code_of_failure
from batchfetch.text import sanitize
from batchfetch.version import __version__

COMMANDS = {
    "fetch": "Fetch every task of the manifests.",
    "sandbox": "Serve a local stand-in for the service.",
    "help": "Show a page of the manual, or list the pages.",
}
"""Each subcommand's module in this folder, and what it does."""


def load_command(name: str) -> click.Command:
    """
    Import the subcommand *name*, one of `COMMANDS`.
    """
    with kept():
        command: click.Command = import_module(f"batchfetch.cli.{name}").command
    return command


class _Commands(click.Group):
    """
    Subcommands whose modules are imported when they are used: `--help` needs none of them.
    """

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        return load_command(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


_root = _Commands(
    "batchfetch",
    help="Fetch the preprocessing results of Aspose.OCR Cloud: many task ids in, checked images "
    "and a report out.",
    params=[],
    no_args_is_help=True,
)
click.version_option(__version__, message="%(prog)s %(version)s")(_root)


def entry() -> NoReturn:
    """
    Run the process's own command line and end the process with its exit code.

    All that was said is flushed, so the interpreter is left as it stands.  It would take apart what
    was imported, wait for a thread that reads from a pipe where nothing comes, and close in any
    order what an interrupt left open, and complain of that.
    """
    code = main()
    for thread in set(threading.enumerate()) - {threading.current_thread()}:
        thread.join(timeout=0.5)
    os._exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line *argv* (the process's own by default) and return its exit code.

    An exception that leaves this function is a defect of batchfetch; the interpreter then shows
    the traceback and exits 1.
    """
    hold_standard_streams()
    try:
        code: int = _root.main(argv, prog_name="batchfetch", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        print_stderr(error.format_message())
        return ExitCode.UNUSABLE
    except click.ClickException as error:
        return fail(error.format_message(), ExitCode.UNUSABLE)
    except BatchFetchError as error:
        return fail(str(error), code_of_failure(error))
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.SIGINT
    return code


def fail(sentence: str, code: int) -> int:
    print_stderr(f"batchfetch: {sanitize(sentence)}")
    return code
