"""
Access tokens of the stand-in: issuing, validation and expiry.

Protocol: the OAuth 2.0 client credentials grant (RFC 6749, section 4.4), and the service's limit on
failed token requests.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass

ACCESS_TOKEN = "sandbox"  # noqa: S105 - the stand-in's published token, no secret
"""A token that is always valid, for clients that are configured with a token."""

REFUSED_CLIENT_ID = "refused"
"""A client id that is refused with any secret, for testing how a client handles that."""

FAILURES_ALLOWED = 5
LOCKED_FOR = 600
"""Seconds a credential pair is locked after its last allowed failure."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    The reason why no token was issued.
    """

    error: str
    """The OAuth error code; `rate_limited` if the credentials are locked."""

    retry_after: int | None = None
    """Seconds until the lock ends; None if the credentials are not locked."""


class TokenIssuer:
    """
    Issues and validates tokens with a *life* in seconds.

    *now* is the time in seconds on any clock that never goes back.
    """

    def __init__(self, *, life: float, seed: int) -> None:
        self.life = life
        self._seed = seed
        self._issued = 0
        self._valid_until: dict[str, float] = {}
        self._failures: Counter[tuple[str, str]] = Counter()
        self._locked_until: dict[tuple[str, str], float] = {}

    def issue(
        self, grant_type: str, client_id: str, client_secret: str, now: float
    ) -> str | Refusal:
        """
        Return a new token; any credentials are accepted that are not empty.
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
        self._valid_until[token] = now + self.life
        return token

    def accepts(self, authorization: str, now: float) -> bool:
        """
        Whether the value of an `Authorization` header contains a token that is valid at *now*.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return False
        return token == ACCESS_TOKEN or now < self._valid_until.get(token, now)

    def revoke_all(self) -> None:
        """
        Invalidate every token issued so far.
        """
        self._valid_until.clear()

    def _refuse(self, pair: tuple[str, str], error: str, now: float) -> Refusal:
        self._failures[pair] += 1
        if self._failures[pair] >= FAILURES_ALLOWED:
            self._failures[pair] = 0
            self._locked_until[pair] = now + LOCKED_FOR
        return Refusal(error)
