"""
A map from text to flags and a number, about nine bytes for each entry and what its number takes.

It keeps hashes of 64 bits in place of text.  Twelve bits choose one of 4096 sorted arrays, the rest
is found there by bisection.  Sorted arrays have no gaps and grow by a sixteenth, where a hash table
would be a third empty and double.

Ten million entries have two that share a hash in one run of 370 000: n² / 2⁶⁵.  The second would be
taken for the first.  Python keys its hash (SipHash) anew in every process: a manifest cannot be
written to collide, and what collided once does not in the next run.
"""

from array import array
from bisect import bisect_left
from typing import Literal

_SEGMENTS = 2**12
_HASH = 2**64 - 2**8
_FLAGS = 2**8


class HashTable:
    """
    A map from text to eight flags and a number, an array's item of type *numbers*: `I` has 32 bits,
    `Q` has 64.

    A word is the text's hash with the flags in its low byte.  Nothing is lost by that: those eight
    bits are among the twelve that chose the segment.
    """

    def __init__(self, numbers: Literal["I", "Q"]) -> None:
        self._words = [array("Q") for _ in range(_SEGMENTS)]
        self._numbers = [array(numbers) for _ in range(_SEGMENTS)]
        self.used = False
        """Whether there is any entry."""

    def get(self, text: str) -> tuple[int, int]:
        """
        Return the flags and the number of *text*; zeros if it is not there.
        """
        hashed = hash(text)
        segment, key = hashed % _SEGMENTS, hashed & _HASH
        words = self._words[segment]
        place = bisect_left(words, key)
        if place == len(words) or words[place] - key >= _FLAGS:
            return 0, 0
        return words[place] - key, self._numbers[segment][place]

    def mark(
        self, text: str, flags: int, *, clear: int = 0, number: int | None = None
    ) -> tuple[int, int]:
        """
        Clear and set flags of *text*, and its number unless None.  Returns what they were.
        """
        hashed = hash(text)
        segment, key = hashed % _SEGMENTS, hashed & _HASH
        words = self._words[segment]
        numbers = self._numbers[segment]
        place = bisect_left(words, key)
        if place == len(words) or words[place] - key >= _FLAGS:
            words.insert(place, key | flags)
            numbers.insert(place, number or 0)
            self.used = True
            return 0, 0
        before = words[place] - key, numbers[place]
        words[place] = key | (before[0] & ~clear) | flags
        if number is not None:
            numbers[place] = number
        return before
