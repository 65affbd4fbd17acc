"""
Which answers go wrong, and how.

A decision depends on the seed, the task and how often it was asked for, never on the order in
which requests happen to arrive: the same run meets the same faults again.
"""

import random
from collections.abc import Mapping
from dataclasses import replace

from batchfetch.sandbox.responses import Response, problem_response
from batchfetch.sandbox.settings import InjectedFault

RETRY_AFTER = 1
"""Seconds a 429 on purpose asks to wait."""


class FaultPlan:
    """
    Draws at most one fault a request, each kind with its share.
    """

    def __init__(self, shares: Mapping[InjectedFault, float], seed: int) -> None:
        self._shares = dict(shares)
        self._seed = seed

    def pick(self, subject: str, attempt: int) -> InjectedFault | None:
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

    def spoil(self, reply: Response, fault: InjectedFault, subject: str, attempt: int) -> Response:
        """
        Return *reply* as *fault* leaves it, as far as that can be said before it is sent.
        """
        if fault is not InjectedFault.CORRUPT or not reply.image:
            return reply
        rng = _rng(self._seed, f"{subject} bit", attempt)
        return replace(reply, image=_flip_a_bit(reply.image, rng))


def instead_of_answer(fault: InjectedFault, path: str) -> Response | None:
    """
    Return what *fault* answers without looking at the question; None if it spoils the answer.
    """
    match fault:
        case InjectedFault.TOO_MANY_REQUESTS:
            headers = {"Retry-After": str(RETRY_AFTER)}
            return problem_response(429, "Too many requests, on purpose.", path, headers)
        case InjectedFault.SERVER_ERROR:
            return problem_response(500, "Something went wrong, on purpose.", path)
        case InjectedFault.RESET:
            return Response(204)  # Nobody will see it.
        case _:
            return None


def touches(fault: InjectedFault, reply: Response) -> bool:
    """
    Whether there is anything in *reply* for *fault* to spoil.
    """
    match fault:
        case InjectedFault.CORRUPT:
            return bool(reply.image)
        case InjectedFault.TRUNCATE | InjectedFault.SLOW:
            return reply.length > 0
        case _:
            return True


def _flip_a_bit(image: bytes, rng: random.Random) -> bytes:
    spoiled = bytearray(image)
    spoiled[rng.randrange(len(spoiled))] ^= 1 << rng.randrange(8)
    return bytes(spoiled)


def _rng(seed: int, subject: str, attempt: int) -> random.Random:
    return random.Random(f"{seed}:{subject}:{attempt}")  # noqa: S311 - repeatable, and no secret
