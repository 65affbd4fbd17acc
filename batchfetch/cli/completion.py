"""
The `batchfetch completion` command: scripts that complete options, choices and file names.

The scripts hold all words, so that a shell starts nothing when the user presses Tab.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

import click

from batchfetch.cli.commands import Command
from batchfetch.cli.main import COMMANDS, load_command
from batchfetch.cli.streams import print_stdout

_HELP = """Print a completion script for bash, zsh or fish.

It completes commands, options, the words that an option takes, and file names.  It is made for this
release: print it again after an upgrade.
"""

_EXAMPLES = (
    ("bash: a line for ~/.bashrc", 'eval "$(batchfetch completion bash)"'),
    ("zsh: a line for ~/.zshrc, behind compinit", 'eval "$(batchfetch completion zsh)"'),
    (
        "fish: once",
        "batchfetch completion fish > ~/.config/fish/completions/batchfetch.fish",
    ),
)


class Kind(Enum):
    """
    What may follow an option, or stand as an argument.
    """

    NOTHING = auto()
    """A switch; or an argument that there is not."""

    TEXT = auto()
    WORDS = auto()
    LIST = auto()
    """Words with commas between them."""

    FILE = auto()
    FOLDER = auto()


@dataclass(frozen=True, slots=True)
class Values:
    """
    What may follow an option, or stand as an argument: its kind and, for words, which.
    """

    kind: Kind
    words: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Option:
    """
    An option with all its names.
    """

    names: Sequence[str]
    text: str
    values: Values


@dataclass(frozen=True, slots=True)
class Completed:
    """
    What can be completed behind a subcommand.
    """

    name: str
    text: str
    options: Sequence[Option]
    arguments: Values


def completed_commands() -> list[Completed]:
    """
    Return what can be completed, for every subcommand.
    """
    return [_completed(name, text) for name, text in COMMANDS.items()]


def _completed(name: str, text: str) -> Completed:
    command = load_command(name)
    options, arguments = [], Values(Kind.NOTHING)
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            options.append(_option(parameter))
        else:
            arguments = _arguments_of(name, parameter)
    options.append(Option(["-h", "--help"], "Show the options", Values(Kind.NOTHING)))
    return Completed(name, text, options, arguments)


def _option(option: click.Option) -> Option:
    text = (option.help or "").partition(" [default")[0]
    names = [*option.opts, *option.secondary_opts]
    return Option(names, text, Values(Kind.NOTHING) if option.is_flag else _values_of(option))


def _values_of(option: click.Option) -> Values:
    # Not at the top of the module: a list of commands needs none of these.
    from batchfetch.endpoints import ENDPOINTS  # noqa: PLC0415
    from batchfetch.models import OutcomeStatus  # noqa: PLC0415
    from batchfetch.submit_settings import SubmitStatus  # noqa: PLC0415

    parts = (option.metavar or "").split("|")
    if "FILE" in parts:
        return Values(Kind.FILE)
    if "DIR" in parts:
        return Values(Kind.FOLDER)
    if len(parts) > 1:
        return Values(Kind.WORDS, parts)
    if option.name == "endpoint":
        return Values(Kind.WORDS, list(ENDPOINTS))
    lists = {"OUTCOME[,…]": [*OutcomeStatus], "Uncertain[,…]": [SubmitStatus.UNCERTAIN]}
    if parts[0] in lists:
        return Values(Kind.LIST, lists[parts[0]])
    return Values(Kind.TEXT)


def _arguments_of(name: str, argument: click.Parameter) -> Values:
    if isinstance(argument.type, click.Choice):
        return Values(Kind.WORDS, [str(choice) for choice in argument.type.choices])
    if name != "help":
        return Values(Kind.FILE)
    from batchfetch.cli.help import find_topics  # noqa: PLC0415 - reads the manual

    topics = [word for topics in find_topics().values() for word in topics]
    return Values(Kind.WORDS, [word for word in dict.fromkeys(topics) if "<" not in word])


def _completion(shell: str) -> int:
    from batchfetch.cli.shells import SCRIPTS  # noqa: PLC0415 - the text of three scripts

    print_stdout(SCRIPTS[shell](completed_commands()).rstrip("\n"))
    return 0


command = Command(
    "completion",
    callback=_completion,
    help=_HELP,
    examples=_EXAMPLES,
    params=[
        click.Argument(
            ["shell"], type=click.Choice(["bash", "zsh", "fish"]), metavar="bash|zsh|fish"
        )
    ],
)
