"""
Credentials, and where they are found: the environment, or files.

There is no option and no key of a settings file for a secret: both are seen by others.
"""

import codecs
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError, model_validator

from batchfetch.errors import SettingsError
from batchfetch.paths import expand_home
from batchfetch.setting_errors import invalid_values

log = logging.getLogger(__name__)

# Bytes of a file that may be a credential; the longest token that is sent is a good deal shorter.
_MAX_FILE = 64 * 1024

# What editors, shells and other programs put around a credential: blanks, line ends, the no-break
# space of a web page, byte order marks of files that were put together.
_AROUND = " \t\r\n\v\f\u00a0\ufeff"

NAMES = ("client_id", "client_secret", "access_token")


class Credentials(BaseModel):
    """
    A client id with its secret, or a ready access token.

    With both, the access token is used until the service refuses it, then replaced.  Raises
    `SettingsError`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def __init__(
        self,
        *,
        client_id: str | SecretStr | None = None,
        client_secret: str | SecretStr | None = None,
        access_token: str | SecretStr | None = None,
    ) -> None:
        values = {
            "client_id": client_id,
            "client_secret": client_secret,
            "access_token": access_token,
        }
        try:
            super().__init__(**values)
        except ValidationError as exc:
            raise invalid_values(exc, {}) from None  # Without the values: they are secret.

    client_id: SecretStr | None = None
    client_secret: SecretStr | None = None
    access_token: SecretStr | None = None

    @model_validator(mode="after")
    def _is_enough(self) -> Self:
        if (self.client_id is None) != (self.client_secret is None):
            raise ValueError("a client id and a client secret go together; give both")
        if self.client_id is None and self.access_token is None:
            raise ValueError(
                "nothing is given; give a client id with its secret, or an access token"
            )
        for secret in (self.client_id, self.client_secret, self.access_token):
            if secret is not None and not fits_a_header(secret.get_secret_value()):
                raise ValueError(
                    "a credential is empty, or holds characters that cannot be sent; give it as the"
                    " service shows it"
                )
        return self

    @property
    def secrets(self) -> tuple[str, ...]:
        """
        What must not be shown.
        """
        given = (self.client_id, self.client_secret, self.access_token)
        return tuple(secret.get_secret_value() for secret in given if secret is not None)

    @property
    def is_renewable(self) -> bool:
        """
        Whether a new token can be asked for.
        """
        return self.client_id is not None


def fits_a_header(text: str) -> bool:
    """
    Whether *text* can be sent as it is, in a header or a form.
    """
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def variable(name: str) -> str:
    """
    Return the variable that holds the credential *name*.
    """
    return f"BATCHFETCH_{name.upper()}"


def find_credentials(environment: Mapping[str, str]) -> Credentials:
    """
    Return the credentials that *environment* holds or points to.

    Each is looked for in `BATCHFETCH_<NAME>`, in the file named by `BATCHFETCH_<NAME>_FILE`, and
    in the folder `$CREDENTIALS_DIRECTORY`, which systemd sets (`LoadCredential=` in
    systemd.exec(5)), under either spelling of its name.  The first one found counts.

    Raises `SettingsError` with a sentence that says what to set.
    """
    searched = {name: _find(name, environment) for name in NAMES}
    found = {name: text for name, text in searched.items() if text is not None}
    client_id, client_secret, access_token = map(variable, NAMES)
    if ("client_id" in found) != ("client_secret" in found):
        given, missing = client_id, client_secret
        if "client_secret" in found:
            given, missing = missing, given
        raise SettingsError(f"{given} is set without {missing}; set both, they go together")
    if not found:
        raise SettingsError(
            f"no credentials: set {client_id} and {client_secret}, or {access_token} (or each with "
            "_FILE to the name of a file that holds it), or try --sandbox, which needs none"
        )
    return Credentials(**found)


def _find(name: str, environment: Mapping[str, str]) -> str | None:
    if text := environment.get(variable(name)):
        return _cleaned(text, variable(name))
    if path := environment.get(f"{variable(name)}_FILE"):
        source = f"{variable(name)}_FILE"
        if (text := _read(_expanded(path, source), source)) is None:
            raise SettingsError(f"{source}: {path} is not there; give the path of a file")
        return text
    if folder := environment.get("CREDENTIALS_DIRECTORY"):
        source = "CREDENTIALS_DIRECTORY"
        place = _expanded(folder, source)
        for spelling in (name, variable(name)):
            if (text := _read(place / spelling, source)) is not None:
                return text
    return None


def _expanded(path: str, source: str) -> Path:
    try:
        return Path(expand_home(path))
    except ValueError as error:
        raise SettingsError(f"{source}: {error}") from None


def _read(path: Path, source: str) -> str | None:
    """
    Return the credential in the file at *path*; None if there is no file.
    """
    place = f"{source}: {path}"
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_FILE + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingsError(
            f"{place} cannot be read: {error.strerror}; give a file that this user may read"
        ) from None
    if len(text) > _MAX_FILE:
        raise SettingsError(f"{place} is too long for a credential; give a file with nothing else")
    return _cleaned(_decoded(text, place), place)


def _decoded(text: bytes, place: str) -> str:
    is_utf16 = text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return text.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError(f"{place} is not text; save it as UTF-8") from None


def _cleaned(text: str, place: str) -> str:
    """
    Return the credential in *text*, without what editors and other programs put around it.
    """
    text = text.strip(_AROUND)
    if not text:
        raise SettingsError(f"{place} holds nothing; write the credential there")
    if "\0" in text:
        raise SettingsError(f"{place} holds NUL characters; save it as UTF-8")
    if "\n" in text:
        raise SettingsError(f"{place} holds more than one line; leave only the credential")
    if not fits_a_header(text):
        raise SettingsError(
            f"{place} holds blanks or characters that no credential has; leave only the credential"
        )
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        log.warning(
            "%s begins and ends with a quote, which is sent with it: docker's --env-file keeps"
            " quotes; remove them if they are no part of the credential",
            place,
        )
    return text
