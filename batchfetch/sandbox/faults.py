"""
Fault injection: select the responses that fail, and alter them.

The selection depends on the seed, the task and the number of its requests so far, not on the order
in which requests arrive, so that a repeated run has the same faults.
"""

import random
from collections.abc import Mapping
from dataclasses import replace

from batchfetch.sandbox.responses import Response, problem_response
from batchfetch.sandbox.settings import InjectedFault

RETRY_AFTER = 1
"""Seconds in the Retry-After header of an injected 429."""


class FaultPlan:
    """
    Selects at most one fault per request, each kind with the probability of its share.
    """

    def __init__(self, shares: Mapping[InjectedFault, float], seed: int) -> None:
        self._shares = dict(shares)
        self._seed = seed

    def pick(self, subject: str, attempt: int) -> InjectedFault | None:
        """
        Return the fault of the *attempt*-th request for *subject*, or None.
        """
        if not self._shares:
            return None
        drawn = _rng(self._seed, subject, attempt).random()
        for fault, share in self._shares.items():
            if drawn < share:
                return fault
            drawn -= share
        return None

    def alter(
        self, response: Response, fault: InjectedFault, subject: str, attempt: int
    ) -> Response:
        """
        Return *response* with the changes of *fault* to its content; others are made by `send`.
        """
        if fault is not InjectedFault.CORRUPT or not response.image:
            return response
        rng = _rng(self._seed, f"{subject} bit", attempt)
        return replace(response, image=_flip_a_bit(response.image, rng))


def replacement_response(fault: InjectedFault, path: str) -> Response | None:
    """
    Return the response that *fault* gives instead of the regular one; None if it alters that one.
    """
    match fault:
        case InjectedFault.TOO_MANY_REQUESTS:
            headers = {"Retry-After": str(RETRY_AFTER)}
            return problem_response(429, "Injected fault: too many requests.", path, headers)
        case InjectedFault.SERVER_ERROR:
            return problem_response(500, "Injected fault: server error.", path)
        case InjectedFault.RESET:
            return Response(204)  # Never sent, because the connection is reset.
        case _:
            return None


def applies_to(fault: InjectedFault, response: Response) -> bool:
    """
    Whether *fault* can be injected into *response*: some need an image, some a body, and one a
    submission.
    """
    match fault:
        case InjectedFault.CORRUPT:
            return bool(response.image)
        case InjectedFault.TRUNCATE | InjectedFault.SLOW:
            return response.length > 0
        case InjectedFault.LOSE:
            return response.accepts
        case _:
            return True


def _flip_a_bit(image: bytes, rng: random.Random) -> bytes:
    altered = bytearray(image)
    altered[rng.randrange(len(altered))] ^= 1 << rng.randrange(8)
    return bytes(altered)


def _rng(seed: int, subject: str, attempt: int) -> random.Random:
    return random.Random(f"{seed}:{subject}:{attempt}")  # noqa: S311 - repeatable, and no secret
