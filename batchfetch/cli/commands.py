"""
Commands whose `--help` has groups of options, examples, and colours on a terminal.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import click

from batchfetch.cli.streams import is_terminal

_OTHERS = "Other options"

_LONGEST_TERM = 30
"""Columns of the longest option that has its text beside it; click's own."""


class Formatter(click.HelpFormatter):
    """
    Formats help in click's way, with colours where they can be seen.
    """

    def write_heading(self, heading: str) -> None:
        """
        Write *heading* in bold.
        """
        self.write(f"{'':>{self.current_indent}}{_styled(f'{heading}:', bold=True)}\n")

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = _LONGEST_TERM, col_spacing: int = 2
    ) -> None:
        """
        Write *rows* of two columns, the first in colour.
        """
        coloured = [(_styled(term, fg="cyan"), text) for term, text in rows]
        super().write_dl(coloured, col_max, col_spacing)


class _Context(click.Context):
    formatter_class = Formatter


class Command(click.Command):
    """
    A command with its options in *groups* and *examples* at the end of its help.

    *groups* are names of parameters by the title of their group, *examples* pairs of what a line
    does and the line.  Options of no group come last.
    """

    context_class = _Context

    def __init__(
        self,
        name: str,
        *,
        groups: Mapping[str, Sequence[str]] | None = None,
        examples: Sequence[tuple[str, str]] = (),
        **more: Any,
    ) -> None:
        super().__init__(name, **more)
        self._groups = groups or {}
        self._examples = examples

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """
        Write the options, group by group.
        """
        if not self._groups:
            super().format_options(ctx, formatter)
            return
        for title, rows in self._rows_by_group(ctx):
            with formatter.section(title):
                formatter.write_dl(rows)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """
        Write the examples.
        """
        super().format_epilog(ctx, formatter)
        if self._examples:
            with formatter.section("Examples"):
                for purpose, line in self._examples:
                    formatter.write(f"{'':>{formatter.current_indent}}# {purpose}\n")
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")

    def _rows_by_group(self, ctx: click.Context) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        shown = {
            # What click calls its own option depends on its release.
            "help" if "--help" in option.opts else str(option.name): row
            for option in self.get_params(ctx)
            if isinstance(option, click.Option) and (row := option.get_help_record(ctx)) is not None
        }
        # The texts of all groups begin in one column.
        width = max(len(term) for term, _ in shown.values() if len(term) <= _LONGEST_TERM)
        shown = {name: (term.ljust(width), text) for name, (term, text) in shown.items()}
        for title, names in self._groups.items():
            rows = [shown.pop(name) for name in names if name in shown]
            if rows:
                yield title, rows
        if shown:
            yield _OTHERS, list(shown.values())


def _styled(text: str, **style: Any) -> str:
    # Help may go to either stream, and what only one of them shows would be noise in the other.
    coloured = is_terminal(sys.stdout) and is_terminal(sys.stderr)
    return click.style(text, **style) if coloured and not os.environ.get("NO_COLOR") else text
