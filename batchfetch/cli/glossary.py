"""
Outcomes, reasons and exit codes: what the manual's tables say about one of them.

The tables are the only source: what is shown here is what the pages say.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

_OUTCOMES = ("Outcome", "Reasons")
_REASONS = ("Reason", "What happened", "What to do")
_CODES = ("Code", "Meaning", "What a job does with it")

_CODE = re.compile(r"`([^`]+)`")
_STATUS = re.compile(r"(?:http[_-])?[1-5]\d\d")
HTTP_REASON = "http_<status>"

Entries = Mapping[str, str]
"""A short text in Markdown by the word it explains."""


def outcomes_in(pages: Mapping[str, str]) -> Entries:
    """
    Return what *pages*, texts by name, say about each outcome.
    """
    said = [
        (page, name, (happened, to_do))
        for page, (cell, happened, to_do) in _rows(pages, _REASONS)
        for name in _CODE.findall(cell)
    ]
    on_page = {(page, name): words for page, name, words in said}
    anywhere = {name: words for _, name, words in reversed(said)}
    found: dict[str, list[str]] = {}
    for page, (cell, names) in _rows(pages, _OUTCOMES):
        outcome, meaning = _CODE.findall(cell)[0], cell.partition(", ")[2]
        table = [
            f"| `{name}` | {' | '.join(on_page.get((page, name), anywhere[name]))} |"
            for name in _CODE.findall(names)
            if name in anywhere
        ]
        header = ["", f"| {' | '.join(_REASONS)} |", "|---|---|---|"] if table else []
        text = "\n".join((_sentence(meaning), *header, *table, "", _see(page)))
        found.setdefault(outcome, []).append(text)
    return _titled(found)


def reasons_in(pages: Mapping[str, str]) -> Entries:
    """
    Return what *pages* say about each reason.
    """
    outcomes_of: dict[str, dict[str, None]] = {}
    for _, (outcome, names) in _rows(pages, _OUTCOMES):
        for name in _CODE.findall(names):
            outcomes_of.setdefault(name, {})[f"`{_CODE.findall(outcome)[0]}`"] = None
    found: dict[str, list[str]] = {}
    for page, (cell, happened, to_do) in _rows(pages, _REASONS):
        for name in _CODE.findall(cell):
            outcomes = f"It is a reason of {', '.join(outcomes_of.get(name, ()))}."
            lines = (_sentence(happened), "", f"What to do: {to_do}.", "", outcomes, "", _see(page))
            found.setdefault(name, []).append("\n".join(lines))
    return _titled(found)


def codes_in(pages: Mapping[str, str]) -> Entries:
    """
    Return what *pages* say about each exit code.
    """
    found: dict[str, str] = {}
    for page, (cell, meaning, to_do) in _rows(pages, _CODES):
        for code in cell.split(", "):
            lines = (
                f"# Exit code {code}",
                "",
                _sentence(meaning),
                "",
                f"What a job does: {to_do}.",
            )
            found.setdefault(code, "\n".join((*lines, "", _see(page))))
    return found


def is_http_reason(word: str) -> bool:
    """
    Whether *word* is an HTTP status, or the reason that has it in its name.
    """
    return _STATUS.fullmatch(word.strip().lower()) is not None


def _rows(pages: Mapping[str, str], header: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """
    Yield the cells of each row below *header*, after the name of the page.
    """
    title = f"| {' | '.join(header)} |"
    for page, text in pages.items():
        for table in text.split(f"\n{title}\n")[1:]:
            for line in table.split("\n")[1:]:  # The first is the line under the header.
                if not line.startswith("|"):
                    break
                yield page, [cell.strip() for cell in line.strip("|").split("|")]


def _titled(found: Mapping[str, Sequence[str]]) -> Entries:
    """
    Return what each page says of a word below one title.
    """
    return {word: f"# {word}\n\n" + "\n\n".join(texts) for word, texts in found.items()}


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _see(page: str) -> str:
    return f"page: batchfetch help {page}"
