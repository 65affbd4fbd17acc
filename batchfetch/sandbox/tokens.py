"""
Who may ask: tokens given for credentials, and for how long they are good.

Protocol: the OAuth 2.0 client credentials grant, and the service's own limit on failed requests.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass

ACCESS_TOKEN = "sandbox"  # noqa: S105 - the stand-in's published token, no secret
"""A token that is always good, for jobs that bring a ready token."""

REFUSED_CLIENT_ID = "refused"
"""A client id that is refused whatever its secret, for trying how a job takes that."""

FAILURES_ALLOWED = 5
LOCKED_FOR = 600
"""Seconds a credential pair is locked after its last allowed failure."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    No token, and why.
    """

    error: str
    """The OAuth error code; `rate_limited` when the pair is locked."""

    retry_after: int | None = None
    """Seconds, when the pair is locked."""


class TokenDesk:
    """
    Gives tokens and knows them again.  *now* is seconds on any clock that does not go back.
    """

    def __init__(self, *, life: float, seed: int) -> None:
        self.life = life
        self._seed = seed
        self._issued = 0
        self._good_until: dict[str, float] = {}
        self._failures: Counter[tuple[str, str]] = Counter()
        self._locked_until: dict[tuple[str, str], float] = {}

    def issue(
        self, grant_type: str, client_id: str, client_secret: str, now: float
    ) -> str | Refusal:
        """
        Return a new token for any credentials that are not empty.
        """
        pair = (client_id, client_secret)
        if now < self._locked_until.get(pair, now):
            return Refusal("rate_limited", LOCKED_FOR)
        if grant_type != "client_credentials":
            return self._refuse(pair, "unsupported_grant_type", now)
        if not client_id or not client_secret or client_id == REFUSED_CLIENT_ID:
            return self._refuse(pair, "invalid_client", now)

        self._issued += 1
        digest = hashlib.sha256(f"{self._seed}:{self._issued}:{client_id}".encode())
        token = f"sandbox-{digest.hexdigest()}"
        self._good_until[token] = now + self.life
        return token

    def accepts(self, authorization: str, now: float) -> bool:
        """
        Whether an `Authorization` header's value names a token that is good now.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return False
        return token == ACCESS_TOKEN or now < self._good_until.get(token, now)

    def revoke_all(self) -> None:
        """
        Make every token given so far worthless.
        """
        self._good_until.clear()

    def _refuse(self, pair: tuple[str, str], error: str, now: float) -> Refusal:
        self._failures[pair] += 1
        if self._failures[pair] >= FAILURES_ALLOWED:
            self._failures[pair] = 0
            self._locked_until[pair] = now + LOCKED_FOR
        return Refusal(error)
