"""
The command's front door: which subcommand, and how it ends.
"""

import os
import shlex
import signal
import sys
import threading
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import click

from batchfetch.cli.commands import Command
from batchfetch.cli.failures import fail, with_hint
from batchfetch.cli.imports import kept
from batchfetch.cli.streams import hold_standard_streams, print_stderr
from batchfetch.errors import BatchFetchError
from batchfetch.exit_codes import ExitCode, code_of_failure
from batchfetch.paths import is_there
from batchfetch.version import __version__

COMMANDS = {
    "fetch": "Fetch every task of the manifests.",
    "submit": "Submit images; a manifest of their task ids comes out.",
    "report": "Say what became of it all.",
    "sandbox": "Serve a local stand-in for the service.",
    "help": "Show a page of the manual, or list the pages.",
    "completion": "Print a completion script for bash, zsh or fish.",
}
"""Each subcommand's module in this folder, and what it does."""

_MANIFESTS = {".txt", ".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".gz"}


def load_command(name: str) -> click.Command:
    """
    Import the subcommand *name*, one of `COMMANDS`.
    """
    with kept():
        command: click.Command = import_module(f"batchfetch.cli.{name}").command
    return command


class _Commands(Command, click.Group):
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

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """
        Parse the arguments before the subcommand.
        """
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            name = error.option_name
            if not any(name in option.opts for option in load_command("fetch").params):
                raise
            raise click.UsageError(
                f"{name} is an option of fetch; did you mean batchfetch fetch {name}?", ctx
            ) from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """
        Return the subcommand that *args* begin with, and what is left of them.
        """
        if args[0] in COMMANDS:
            return super().resolve_command(ctx, args)
        raise click.UsageError(
            f"{args[0]!r} is not one of the commands {', '.join(COMMANDS)}{_meant(args[0])}", ctx
        )


def _command_of(argv: Sequence[str]) -> str:
    """
    Return `batchfetch`, with the subcommand that *argv* begins with, if any.
    """
    return " ".join(("batchfetch", *(word for word in argv[:1] if word in COMMANDS)))


def _meant(word: str) -> str:
    """
    Return `; did you mean …?` for a *word* that is no subcommand, or an empty text.
    """
    from difflib import get_close_matches  # noqa: PLC0415 - only needed after a mistake

    if near := get_close_matches(word.lower(), COMMANDS, n=1):
        return f"; did you mean batchfetch {near[0]}?"
    if word == "-" or Path(word).suffix.lower() in _MANIFESTS or is_there(word):
        return f"; did you mean batchfetch fetch {shlex.quote(word)}?"
    return ""


_root = _Commands(
    "batchfetch",
    help="Fetch the preprocessing results of Aspose.OCR Cloud: many task ids in, checked images "
    "and a report out.",
    params=[],
    examples=(
        ("no network and no credentials: see how it looks", "batchfetch fetch ids.txt --sandbox"),
        ("what became of it, and what to do next", "batchfetch report"),
        ("what an exit code means", "batchfetch help 3"),
    ),
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
click.version_option(__version__, message="%(prog)s %(version)s")(_root)


def entry(*, signals: AbstractSet[int]) -> NoReturn:
    """
    Run the process's own command line and end the process with its exit code.

    While it runs no more than *signals* are blocked.

    All that was said is flushed, so the interpreter is left as it stands.  It would take apart what
    was imported, wait for a thread that reads from a pipe where nothing comes, and close in any
    order what an interrupt left open, and complain of that.
    """
    code: int = ExitCode.SIGINT
    with suppress(KeyboardInterrupt):  # It may come before the first word, or during the last ones.
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
        code = main()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # There is nothing left to be stopped.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
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
    words = sys.argv[1:] if argv is None else argv
    try:
        code: int = _root.main(words, prog_name="batchfetch", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        print_stderr(error.format_message())
        return ExitCode.UNUSABLE
    except click.ClickException as error:
        return fail(with_hint(error, _command_of(words)), ExitCode.UNUSABLE, words)
    except BatchFetchError as error:
        return fail(with_hint(error, _command_of(words)), code_of_failure(error), words)
    except (click.Abort, KeyboardInterrupt):
        return fail("stopped by SIGINT; run the same command again", ExitCode.SIGINT, words)
    return code
