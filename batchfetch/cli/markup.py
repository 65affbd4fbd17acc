"""
Building blocks of the page: escaped text, lists, tables and bars.  Pure functions.

Text of manifests and of the service becomes markup in `text` and `attribute` only.
"""

from collections.abc import Container, Iterable, Sequence
from html import escape

from batchfetch.text import sanitize


def text(value: object, limit: int = 1000) -> str:
    """
    Return *value* as text in markup: escaped, without control characters, *limit* characters.
    """
    return escape(sanitize(str(value), limit))


def section(name: str, title: str, *content: str) -> str:
    """
    Return a section of the page, which the navigation leads to by its *name*.
    """
    inner = "\n".join(filter(None, content))
    return f'<section id="{name}">\n<h2>{text(title)}</h2>\n{inner}\n</section>'


def tiles(entries: Iterable[tuple[str, str, str]]) -> str:
    """
    Return figures side by side: each a name, a value, and a note, which may be empty.
    """
    inner = "\n".join(
        f"<div><dt>{text(name)}</dt><dd>{text(value)}"
        + (f"<small>{text(note)}</small>" if note else "")
        + "</dd></div>"
        for name, value, note in entries
    )
    return f'<dl class="tiles">\n{inner}\n</dl>'


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Container[int] = (),
    short: Container[int] = (),
) -> str:
    """
    Return a table of text; the columns at the places *numbers* hold numbers, those at *short* words
    that are not to be broken.

    On a narrow screen each row is a card.
    """
    kinds = [
        ' class="number"' if place in numbers else ' class="short"' if place in short else ""
        for place in range(len(heads))
    ]
    head = "".join(
        f'<th scope="col"{kind}>{text(name)}</th>' for name, kind in zip(heads, kinds, strict=True)
    )
    body = "\n".join(_row(heads, row, kinds) for row in rows)
    return (
        f'<table class="cards">\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table>"
    )


def _row(heads: Sequence[str], row: Sequence[str], kinds: Sequence[str]) -> str:
    cells = "".join(
        f'<td data-label="{text(head)}"{kind}>{_breakable(text(cell, _MOST))}</td>'
        for head, cell, kind in zip(heads, row, kinds, strict=True)
    )
    return f"<tr>{cells}</tr>"


def _breakable(escaped: str) -> str:
    """
    Return text in markup with a path's parts rather than its names on lines of their own.
    """
    return escaped.replace("/", "/<wbr>")


# The most characters of a cell: a thousand rows must stay a page.
_MOST = 300


def bars(rows: Sequence[tuple[str, int]], *, kind: str = "", label: str) -> str:
    """
    Return a table of *rows*, each a markup and a number, with a bar as long as the number.
    """
    longest = max((number for _, number in rows), default=0) or 1
    body = "\n".join(
        f'<tr><th scope="row">{name}</th><td>{_bar(number / longest)}</td>'
        f'<td class="number">{number}</td></tr>'
        for name, number in rows
    )
    return (
        f'<table class="bars {kind}" aria-label="{text(label)}">\n'
        f"<tbody>\n{body}\n</tbody>\n</table>"
    )


def _bar(share: float) -> str:
    return f'<span class="bar" style="width:{100 * share:.1f}%"></span>' if share else ""


def filter_field(name: str, items: str, label: str) -> str:
    """
    Return a field that shows only those of *items*, a selector, that contain what is typed.
    """
    return (
        f'<p class="filter" hidden><label for="{name}">{text(label)}</label>'
        f'<input type="search" id="{name}" data-items="{text(items)}" data-count="{name}-count" '
        f'autocomplete="off"><span id="{name}-count" class="quiet" aria-live="polite"></span></p>'
    )


def commands(steps: Iterable[tuple[str, str]]) -> str:
    """
    Return what could be done next: why, and the command.
    """
    return "\n".join(
        f"<p>{text(why)}:</p>\n<pre><code>{text(command)}</code></pre>" for why, command in steps
    )
