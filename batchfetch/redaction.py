"""
Removal of secrets, whole, in part or encoded, from text that comes from outside.
"""

import re
from base64 import b64encode
from collections import deque
from collections.abc import Iterable, Iterator
from html import unescape

_MASK = "***"

SHORTEST_PIECE = 8
"""Characters of a secret that are removed wherever they are; a cut secret shows fewer at most."""

SHORTEST_WORD = 4
"""The shortest secret that is removed at all.  Those below `SHORTEST_PIECE` must be whole words."""

# Tokens that are remembered: the one in use, and some that late answers may still repeat.
_TOKENS = 4

# A character as URLs, JSON and HTML may write it, escaped once or several times over.
_ESCAPE = re.compile(
    r"""%(?:25)*([0-9a-f]{2})|\\+(?:u00|x)([0-9a-f]{2})|\\+(["'/\\])|(&(?:\#\w{1,8}|[a-z]{2,4});)""",
    re.IGNORECASE,
)
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


class Redactor:
    """
    Knows the secrets of a run, and removes them from text that may repeat them.

    A secret is recognized in any case, escaped as in URLs, JSON and HTML, in base64, and in part:
    somebody else may have cut it.
    """

    def __init__(self, *secrets: str) -> None:
        self._lasting: set[str] = set()
        self._tokens: deque[str] = deque(maxlen=_TOKENS)
        self._pieces: frozenset[str] | None = frozenset()
        self._words: re.Pattern[str] | None = None
        self.add(*secrets)

    def add(self, *secrets: str) -> None:
        """
        Remove *secrets*, too, from now on.
        """
        if not self._lasting.issuperset(secrets):
            self._lasting.update(secrets)
            self._pieces = None

    def add_token(self, token: str) -> None:
        """
        Remove *token*, too, until some newer ones are known.
        """
        if token not in self._tokens:
            self._tokens.append(token)
            self._pieces = None

    def __call__(self, text: str) -> str:
        """
        Return *text* with `***` in place of each secret, or of 8 or more characters of one.
        """
        if len(text) < SHORTEST_WORD or not (self._lasting or self._tokens):
            return text
        if self._pieces is None:
            self._prepare()
        spans = [*self._found(text.translate(_LOWER))]
        if any(mark in text for mark in "%\\&"):
            plain, starts = _unescaped(text)
            found = self._found(plain.translate(_LOWER))
            spans += [(starts[start], starts[end]) for start, end in found]
        kept, at = [], 0
        for start, end in _merged(spans):
            kept += [text[at:start], _MASK]
            at = end
        return "".join([*kept, text[at:]]) if kept else text

    def remove_whole(self, text: str) -> str:
        """
        Return *text* with `***` in place of each long secret that is in it as it is, and whole.
        """
        for secret in (*self._lasting, *self._tokens):
            if len(secret) >= SHORTEST_PIECE:
                text = text.replace(secret, _MASK)
        return text

    def _prepare(self) -> None:
        """
        Make what is searched for; only when it is needed, because most runs never do.
        """
        secrets = [secret.translate(_LOWER) for secret in (*self._lasting, *self._tokens)]
        encoded = [
            form for secret in (*self._lasting, *self._tokens) for form in _in_base64(secret)
        ]
        self._pieces = frozenset(
            form[at : at + SHORTEST_PIECE]
            for form in (*secrets, *(form.translate(_LOWER) for form in encoded))
            for at in range(len(form) - SHORTEST_PIECE + 1)
        )
        short = [s for s in secrets if SHORTEST_WORD <= len(s) < SHORTEST_PIECE]
        words = "|".join(map(re.escape, short))
        self._words = re.compile(rf"(?<![a-z0-9])(?:{words})(?![a-z0-9])") if short else None

    def _found(self, plain: str) -> Iterator[tuple[int, int]]:
        """
        Yield where secrets begin and end in *plain*, in lower case: parts that may overlap.
        """
        if self._words is not None:
            yield from (match.span() for match in self._words.finditer(plain))
        pieces = self._pieces or frozenset()
        for at in range(len(plain) - SHORTEST_PIECE + 1):
            if plain[at : at + SHORTEST_PIECE] in pieces:
                yield at, at + SHORTEST_PIECE


def _in_base64(secret: str) -> Iterator[str]:
    """
    Yield *secret* as it is in the base64 of a longer text: for each place where it may begin, the
    characters that depend on nothing else.  Source: RFC 4648, sections 4 and 5.
    """
    for before in range(3):
        text = bytes(before) + secret.encode("utf-8", "replace")
        whole = len(text) * 4 // 3  # Where padding, or what follows, begins to matter.
        form = b64encode(text).decode()[-(-before * 4 // 3) : whole]
        yield form
        yield form.translate({ord("+"): "-", ord("/"): "_"})


def _unescaped(text: str) -> tuple[str, list[int]]:
    """
    Return *text* without escapes, and where in *text* each of its characters begins, and the end.
    """
    plain: list[str] = []
    starts: list[int] = []
    at = 0
    for match in _ESCAPE.finditer(text):
        character = _character(match)
        plain += [*text[at : match.start()], character]
        starts += [*range(at, match.start()), match.start()]
        at = match.end()
    plain += text[at:]
    starts += range(at, len(text) + 1)
    return "".join(plain), starts


def _character(match: re.Match[str]) -> str:
    percent, escaped, quoted, entity = match.groups()
    if entity:
        return (unescape(entity) or "\0")[0]
    return quoted or chr(int(percent or escaped, 16))


def _merged(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """
    Yield *spans* in order, those that touch as one.
    """
    last: tuple[int, int] | None = None
    for start, end in sorted(spans):
        if last is not None and start <= last[1]:
            last = last[0], max(last[1], end)
            continue
        if last is not None:
            yield last
        last = start, end
    if last is not None:
        yield last
