"""
Exchange credentials for tokens, and renew these.

The service counts refused credentials: after five it refuses all requests for ten minutes (its
documentation, "Rate limits").  So workers share one request, a token is used until it is about to
expire, and credentials that were refused once are not sent again.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import anyio

from batchfetch.errors import CredentialsError, StatusError
from batchfetch.redaction import Redactor
from batchfetch.service.credentials import Credentials
from batchfetch.service.grants import parse_grant, refused
from batchfetch.text import sanitize

log = logging.getLogger(__name__)

# Renewed this much early, so that no request leaves with a token that dies on the way.
_USABLE_SHARE = 0.9

# Characters of a token's type that are shown.
_MAX_TYPE = 40

# HTTP statuses that refuse the credentials: RFC 6749, section 5.2, and 403.
_REFUSALS = frozenset({400, 401, 403})


@runtime_checkable
class TokenEndpoint(Protocol):
    """
    One request for a token; raises `TransportError` if there is no usable answer.
    """

    async def request_token(self, client_id: str, client_secret: str) -> bytes: ...


class Tokens(Protocol):
    """
    Hands out tokens to what asks the service.
    """

    @property
    def redactor(self) -> Redactor:
        """
        Removes the credentials and tokens from text.
        """
        ...

    @property
    def requests(self) -> int:
        """
        Token requests made.
        """
        ...

    @property
    def at_hand(self) -> str | None:
        """
        The token that is valid now; None if one has to be asked for.
        """
        ...

    @property
    def is_renewable(self) -> bool:
        """
        Whether another token can be asked for.
        """
        ...

    async def token(self) -> str:
        """
        Return a token that is valid now; if there is none, one is asked for, once.

        Raises `CredentialsError` if the credentials are refused, and `JobError` if no usable answer
        came.
        """
        ...

    def refuse(self, text: str, /) -> None:
        """
        Note that the service refuses the token *text*: the next call of `token` gets another.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    renew_at: float


class TokenSource:
    """
    Hands out a token that is valid now; however many ask, one request is made.

    *redactor* is told of the credentials and of every token.
    """

    def __init__(
        self,
        credentials: Credentials,
        endpoint: TokenEndpoint,
        *,
        redactor: Redactor | None = None,
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:
        self._credentials = credentials
        self._endpoint = endpoint
        self.redactor = redactor or Redactor()
        """Removes the credentials and tokens from text."""

        self.redactor.add(*credentials.secrets)
        self._clock = clock
        self._lock = anyio.Lock()
        self._refusal: CredentialsError | None = None
        self._token: _Token | None = None
        if credentials.access_token is not None:
            # When it expires is not known: it is used until the service refuses it.
            self._token = _Token(credentials.access_token.get_secret_value(), float("inf"))
        self.requests = 0
        """Token requests made."""

    @property
    def at_hand(self) -> str | None:
        """
        The token that is valid now; None if one has to be asked for.
        """
        token = self._token
        return token.text if token is not None and self._clock() < token.renew_at else None

    @property
    def is_renewable(self) -> bool:
        """
        Whether another token can be asked for.
        """
        given = self._credentials
        return given.client_id is not None and given.client_secret is not None

    async def token(self) -> str:
        """
        Return a token that is valid now; if there is none, one is asked for, once.

        Raises `CredentialsError` if the credentials are refused, and `JobError` if no usable answer
        came.
        """
        if (token := self.at_hand) is not None:
            return token
        async with self._lock:
            if (token := self.at_hand) is not None:
                return token  # Another worker asked while this one waited.
            if self._refusal is not None:
                raise self._refusal
            try:
                self._token = await self._ask()
            except CredentialsError as exc:
                self._refusal = exc  # All that wait get the same answer without a request.
                raise
            return self._token.text

    def refuse(self, text: str) -> None:
        """
        Note that the service refuses the token *text*: the next call of `token` gets another.
        """
        if self._token is not None and self._token.text == text:
            self._token = None

    async def _ask(self) -> _Token:
        client_id, client_secret = self._credentials.client_id, self._credentials.client_secret
        if client_id is None or client_secret is None:
            raise CredentialsError(
                "the service refuses the access token; it may have expired: get a new one, or give"
                " a client id and secret so that it can be renewed"
            )
        pair = (client_id.get_secret_value(), client_secret.get_secret_value())
        self.requests += 1
        asked_at = self._clock()
        try:
            body = await self._endpoint.request_token(*pair)
        except StatusError as exc:
            if exc.status in _REFUSALS:
                raise CredentialsError(self.redactor(refused(str(exc)))) from None
            raise
        grant = parse_grant(body, self.redactor)
        self.redactor.add_token(grant.token)
        if grant.odd_type is not None:
            kind = sanitize(self.redactor(grant.odd_type), _MAX_TYPE)
            log.warning("the token's type is %r; it is sent as a bearer token", kind)
        return _Token(grant.token, asked_at + _USABLE_SHARE * grant.life)
