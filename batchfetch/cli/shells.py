"""
Completion scripts of three shells, as text.
"""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence

from batchfetch.cli.completion import Completed, Kind, Option, Values

_BASH = """\
# Completes batchfetch in bash.
_batchfetch() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} command='' each
    # bash has --option=value as three words.
    if [[ $word == = ]]; then
        word=''
    elif [[ $before == = ]]; then
        before=${{COMP_WORDS[COMP_CWORD-2]}}
    fi
    for each in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case $each in {commands}) command=$each; break ;; esac
    done
    COMPREPLY=()
    # What is left empty here is completed by readline: file names, with their blanks and `~`.
    compopt -o default 2>/dev/null
    case "$command $before" in
{values}
    esac
    if [[ $word == -* ]]; then
        case $command in
{options}
        esac
        return
    fi
    case $command in
{arguments}
    esac
}}
_batchfetch_words() {{
    compopt +o default +o bashdefault 2>/dev/null
    COMPREPLY=($(compgen -W "$1" -- "$2"))
}}
_batchfetch_list() {{
    compopt +o default +o bashdefault -o nospace 2>/dev/null
    local before=''
    [[ $2 == *,* ]] && before=${{2%,*}},
    COMPREPLY=($(compgen -P "$before" -W "$1" -- "${{2##*,}}"))
}}
complete -o bashdefault -o default -F _batchfetch batchfetch
"""


def bash(commands: Sequence[Completed]) -> str:
    """
    Return the script for bash.
    """
    names = " ".join(command.name for command in commands)
    options = [f"            '') {_bash_words('-h --help --version')} ;;"]
    arguments = [f"        '') {_bash_words(names)} ;;"]
    values: dict[str, list[str]] = {}
    for command in commands:
        names = " ".join(name for option in command.options for name in option.names)
        options.append(f"            {command.name}) {_bash_words(names)} ;;")
        arguments.append(f"        {command.name}) {_bash_values(command.arguments)} ;;")
        for option in command.options:
            if option.values.kind is not Kind.NOTHING:
                patterns = values.setdefault(_bash_values(option.values), [])
                patterns += (f"'{command.name} {name}'" for name in option.names)
    return _BASH.format(
        commands="|".join(command.name for command in commands),
        values="\n".join(
            f"        {'|'.join(patterns)}) {action}; return ;;"
            for action, patterns in values.items()
        ),
        options="\n".join(options),
        arguments="\n".join(arguments),
    )


def _bash_values(values: Values) -> str:
    match values.kind:
        case Kind.WORDS:
            return _bash_words(" ".join(values.words))
        case Kind.LIST:
            return f'_batchfetch_list {shlex.quote(" ".join(values.words))} "$word"'
        case Kind.FILE:
            return ":"
        case Kind.FOLDER:
            return "compopt +o default +o bashdefault -o dirnames 2>/dev/null"
        case Kind.TEXT | Kind.NOTHING:
            return _bash_words("")


def _bash_words(words: str) -> str:
    return f'_batchfetch_words {shlex.quote(words)} "$word"'


_ZSH = """\
#compdef batchfetch
# Completes batchfetch in zsh.
_batchfetch() {{
    local -a commands=({commands})
    local command=$words[2]
    if (( CURRENT == 2 )); then
        _describe command commands
        _arguments '(- *)'{{-h,--help}}'[Show the commands]' '(- *)--version[Show the version]'
        return
    fi
    shift words
    (( CURRENT-- ))
    case $command in
{cases}
    esac
}}
# zsh runs this once as a file of its own, or it was evaluated.
if [[ $funcstack[1] == _batchfetch ]]; then
    _batchfetch "$@"
else
    compdef _batchfetch batchfetch
fi
"""


def zsh(commands: Sequence[Completed]) -> str:
    """
    Return the script for zsh.
    """
    described = " ".join(_zsh_quoted(f"{each.name}:{each.text}") for each in commands)
    cases = []
    for command in commands:
        specs = [spec for option in command.options for spec in _zsh_specs(option)]
        if command.arguments.kind is not Kind.NOTHING:
            specs.append(_zsh_quoted(f"*{_zsh_values(command.arguments)}"))
        lines = " \\\n            ".join(["_arguments -s", *specs])
        cases.append(f"    {command.name})\n        {lines}\n        ;;")
    return _ZSH.format(commands=described, cases="\n".join(cases))


def _zsh_specs(option: Option) -> Iterator[str]:
    text = option.text.translate(str.maketrans("[]:", "(),"))
    for name in option.names:
        equals = "=" if name.startswith("--") and option.values.kind is not Kind.NOTHING else ""
        yield _zsh_quoted(f"{name}{equals}[{text}]{_zsh_values(option.values)}")


def _zsh_values(values: Values) -> str:
    match values.kind:
        case Kind.WORDS:
            return f":word:({' '.join(values.words)})"
        case Kind.LIST:
            return f":list:_values -s , word {' '.join(values.words)}"
        case Kind.FILE:
            return ":file:_files"
        case Kind.FOLDER:
            return ":folder:_files -/"
        case Kind.TEXT:
            return ":value:"
        case Kind.NOTHING:
            return ""


def _zsh_quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def fish(commands: Sequence[Completed]) -> str:
    """
    Return the script for fish.
    """
    names = " ".join(command.name for command in commands)
    lines = ["# Completes batchfetch in fish.", "complete -c batchfetch -f"]
    none_yet = f"not __fish_seen_subcommand_from {names}"
    lines += [
        f"complete -c batchfetch -n '{none_yet}' -a {each.name} -d {_fish_quoted(each.text)}"
        for each in commands
    ]
    lines.append(f"complete -c batchfetch -n '{none_yet}' -l version -d 'Show the version'")
    lines.append(f"complete -c batchfetch -n '{none_yet}' -s h -l help -d 'Show the commands'")
    for command in commands:
        begin = f"complete -c batchfetch -n '__fish_seen_subcommand_from {command.name}'"
        lines.append(f"{begin}{_fish_values(command.arguments)}")
        for option in command.options:
            required = "" if option.values.kind is Kind.NOTHING else " -r"
            lines += [
                f"{begin} {name}{required}{_fish_values(option.values)}"
                f" -d {_fish_quoted(option.text)}"
                for name in _fish_names(option)
            ]
    return "\n".join(lines) + "\n"


def _fish_names(option: Option) -> Iterator[str]:
    for name in option.names:
        yield f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"


def _fish_values(values: Values) -> str:
    match values.kind:
        case Kind.WORDS:
            return f" -f -a {_fish_quoted(' '.join(values.words))}"
        case Kind.LIST:
            words = " ".join(values.words)
            return f" -f -a {_fish_quoted(f'(__fish_append , {words})')}"
        case Kind.FILE:
            return " -F"
        case Kind.FOLDER:
            return " -f -a '(__fish_complete_directories)'"
        case Kind.TEXT | Kind.NOTHING:
            return " -f"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SCRIPTS: Mapping[str, Callable[[Sequence[Completed]], str]] = {
    "bash": bash,
    "zsh": zsh,
    "fish": fish,
}
