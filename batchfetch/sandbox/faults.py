"""
Which answers go wrong, and how.

A decision depends on the seed, the task and how often it was asked for, never on the order in
which requests happen to arrive: the same run meets the same faults again.
"""

import random
from collections.abc import Mapping
from dataclasses import replace

from batchfetch.sandbox.replies import Reply, problem_reply
from batchfetch.sandbox.settings import Fault

RETRY_AFTER = 1
"""Seconds a 429 on purpose asks to wait."""


class FaultPlan:
    """
    Draws at most one fault a request, each kind with its share.
    """

    def __init__(self, shares: Mapping[Fault, float], seed: int) -> None:
        self._shares = dict(shares)
        self._seed = seed

    def pick(self, subject: str, attempt: int) -> Fault | None:
        """
        Return what goes wrong when *subject* is asked for the *attempt*-th time, if anything does.
        """
        if not self._shares:
            return None
        drawn = _rng(self._seed, subject, attempt).random()
        for fault, share in self._shares.items():
            if drawn < share:
                return fault
            drawn -= share
        return None

    def spoil(self, reply: Reply, fault: Fault, subject: str, attempt: int) -> Reply:
        """
        Return *reply* as *fault* leaves it, as far as that can be said before it is sent.
        """
        if fault is not Fault.CORRUPT or not reply.image:
            return reply
        rng = _rng(self._seed, f"{subject} bit", attempt)
        return replace(reply, image=_flip_a_bit(reply.image, rng))


def instead_of_answer(fault: Fault, path: str) -> Reply | None:
    """
    Return what *fault* answers without looking at the question; None if it spoils the answer.
    """
    match fault:
        case Fault.TOO_MANY_REQUESTS:
            headers = {"Retry-After": str(RETRY_AFTER)}
            return problem_reply(429, "Too many requests, on purpose.", path, headers)
        case Fault.SERVER_ERROR:
            return problem_reply(500, "Something went wrong, on purpose.", path)
        case Fault.RESET:
            return Reply(204)  # Nobody will see it.
        case _:
            return None


def touches(fault: Fault, reply: Reply) -> bool:
    """
    Whether there is anything in *reply* for *fault* to spoil.
    """
    match fault:
        case Fault.CORRUPT:
            return bool(reply.image)
        case Fault.TRUNCATE | Fault.SLOW:
            return reply.length > 0
        case _:
            return True


def _flip_a_bit(image: bytes, rng: random.Random) -> bytes:
    spoiled = bytearray(image)
    spoiled[rng.randrange(len(spoiled))] ^= 1 << rng.randrange(8)
    return bytes(spoiled)


def _rng(seed: int, subject: str, attempt: int) -> random.Random:
    return random.Random(f"{seed}:{subject}:{attempt}")  # noqa: S311 - repeatable, and no secret
