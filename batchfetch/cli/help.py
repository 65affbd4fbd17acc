"""
`batchfetch help`: the manual's pages, in the terminal.
"""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from importlib.resources.abc import Traversable

import click

from batchfetch.cli.commands import Command
from batchfetch.cli.glossary import (
    HTTP_REASON,
    Entries,
    codes_in,
    is_http_reason,
    outcomes_in,
    reasons_in,
)
from batchfetch.cli.main import COMMANDS, load_command
from batchfetch.cli.streams import is_terminal, print_text
from batchfetch.text import sanitize

_HELP = """Show a page of the manual, or list the pages.

TOPIC is a page, a command, an outcome, a reason or an exit code.  On a terminal a page is formatted
for its width; in a pipe or a file it is Markdown, as it is written.
"""

_EXAMPLES = (
    ("what an exit code means, and what to do", "batchfetch help 5"),
    ("the same of a reason in the report", "batchfetch help expired"),
    ("all about the report", "batchfetch help report"),
)

_PAGES, _COMMANDS = "Pages", "Commands"

_FIRST_SENTENCE = re.compile(r"\A#[^\n]*\n\s*(.+?\.)(?:\s|\Z)", re.DOTALL)
_LINK_TO_PAGE = re.compile(r"\[([^\]]+)\]\([\w-]+\.md(?:#[\w-]*)?\)")


@dataclass(frozen=True, slots=True)
class Topic:
    """
    Something that can be shown.
    """

    summary: str
    """One sentence, for the list of topics."""

    text: Callable[[], str]

    is_markdown: bool = True
    """Whether the text is to be formatted on a terminal; other text is shown as it is."""


def find_topics(manual: Traversable | None = None) -> Mapping[str, Mapping[str, Topic]]:
    """
    Return every topic by its name, in groups by their title; an earlier group goes first.

    *manual* is the folder of the pages; by default the package's own.
    """
    manual = manual or files("batchfetch").joinpath("manual")
    pages = dict(_texts(manual))
    return {
        _PAGES: {
            name: Topic(_first_sentence(text), partial(_page_text, text, name))
            for name, text in pages.items()
        },
        _COMMANDS: dict(_commands()),
        "Outcomes": dict(_entries(outcomes_in(pages))),
        "Reasons": dict(_entries(reasons_in(pages))),
        "Exit codes": dict(_entries(codes_in(pages))),
    }


def _texts(manual: Traversable) -> Iterator[tuple[str, str]]:
    for page in sorted(manual.iterdir(), key=lambda page: page.name):
        name, _, suffix = page.name.rpartition(".")
        if suffix == "md":
            yield name, page.read_text(encoding="utf-8")


def _entries(entries: Entries) -> Iterator[tuple[str, Topic]]:
    for word, text in entries.items():
        yield word, Topic("", partial(str, text))


def _commands() -> Iterator[tuple[str, Topic]]:
    for name, summary in COMMANDS.items():
        yield name, Topic(summary, partial(_command_text, name), is_markdown=False)


def _first_sentence(text: str) -> str:
    found = _FIRST_SENTENCE.match(text)
    return " ".join(found[1].split()) if found else ""


def _page_text(text: str, name: str) -> str:
    return f"{text}\n{_options_hint(name)}\n" if name in COMMANDS else text


def _command_text(name: str) -> str:
    described = load_command(name)
    own = click.Context(described, parent=click.get_current_context().parent, info_name=name)
    formatter = own.make_formatter()
    described.format_usage(own, formatter)
    described.format_help_text(own, formatter)
    described.format_epilog(own, formatter)
    return f"{formatter.getvalue()}\n{_options_hint(name)}\n"


def _options_hint(name: str) -> str:
    return f"options: batchfetch {name} --help"


def _help(topic: str | None) -> int:
    groups = find_topics()
    if topic is None:
        print_text(_list_of(groups).rstrip("\n"))
        return 0
    found = _lookup(topic, groups)
    text = found.text()
    text = _formatted(text) if found.is_markdown and is_terminal(sys.stdout) else text
    print_text(text.rstrip("\n"))
    return 0


def _list_of(groups: Mapping[str, Mapping[str, Topic]]) -> str:
    formatter = click.get_current_context().make_formatter()
    for title, topics in groups.items():
        with formatter.section(title):
            if title in {_PAGES, _COMMANDS}:
                formatter.write_dl([(name, topic.summary) for name, topic in topics.items()])
            else:
                formatter.write_text(", ".join(topics))
    formatter.write_paragraph()
    formatter.write_text("batchfetch help TOPIC shows one of them.")
    return formatter.getvalue()


def _lookup(word: str, groups: Mapping[str, Mapping[str, Topic]]) -> Topic:
    """
    Return the topic called *word*; case does not matter, nor do `_` and `-`.

    Raises `click.ClickException` with suggestions if there is none.
    """
    known: dict[str, tuple[str, Topic]] = {}
    for topics in groups.values():
        for name, topic in topics.items():
            known.setdefault(_folded(name), (name, topic))
    found = known.get(_folded(word))
    if found is None and is_http_reason(word):
        found = known.get(_folded(HTTP_REASON))
    if found is not None:
        return found[1]
    from difflib import get_close_matches  # noqa: PLC0415 - most people make no mistake

    within = [name for folded, (name, _) in known.items() if _folded(word) in folded.split("-")]
    near = within or [known[match][0] for match in get_close_matches(_folded(word), known)]
    hint = f"did you mean {' or '.join(near)}?" if near else "`batchfetch help` lists the topics"
    raise click.ClickException(f"{sanitize(word, 80)!r} is not a help topic; {hint}")


def _folded(name: str) -> str:
    return name.strip().lower().replace("_", "-")


def _formatted(markdown: str) -> str:
    """
    Return *markdown* formatted for the terminal that stdout is.
    """
    # Takes a tenth of a second to import, and is only useful here.
    from rich.console import Console  # noqa: PLC0415
    from rich.markdown import Markdown  # noqa: PLC0415

    # Another page is no address that a terminal could open; its name is enough.
    text = _LINK_TO_PAGE.sub(r"*\1*", markdown)
    console = Console()
    with console.capture() as capture:
        console.print(Markdown(text, hyperlinks=False))
    return capture.get()


command = Command(
    "help",
    callback=_help,
    help=_HELP,
    examples=_EXAMPLES,
    params=[click.Argument(["topic"], required=False, metavar="[TOPIC]")],
)
