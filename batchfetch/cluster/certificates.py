"""
Certificates of this machine for a cluster, which Dask's settings name, and what is wrong with them.
"""

import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path

import dask
from distributed import Security
from distributed.comm import CommClosedError

from batchfetch.errors import SettingsError

_ROLES = ("scheduler", "worker", "client")

# What Dask raises if it cannot use its settings for TLS.
UNUSABLE = (OSError, ValueError, TypeError, ImportError)


def require_local_certificates() -> None:
    """
    Check that processes of this machine can use what Dask's settings for TLS name, if anything.

    Raises `SettingsError`.
    """
    try:
        security = Security()
        found = [security.get_connection_args(role)["ssl_context"] for role in _ROLES]
    except UNUSABLE as error:
        raise unusable(error, _ROLES) from error
    if security.require_encryption and None in found:
        raise SettingsError(
            "Dask's setting distributed.comm.require-encryption asks for certificates on this"
            f" machine, too; {_name_them(_ROLES)}"
        )


def unusable(error: Exception, roles: Sequence[str] = ("client",)) -> SettingsError:
    """
    Return what to say of settings for *roles* that Dask cannot use; *error* is Dask's.
    """
    trouble = next(_troubles(roles), f"Dask's settings for TLS cannot be used: {error}")
    return SettingsError(trouble)


def not_connected(url: str, error: Exception) -> SettingsError:
    """
    Return what to say when there is no connection to the scheduler at *url*; *error* is Dask's.
    """
    match _origin(error):
        case TypeError():  # What Dask has against TLS without certificates.
            trouble = f"{url} needs certificates; {_name_them(['client'])}"
        case RuntimeError():  # What it has against a connection without TLS.
            trouble = (
                f"Dask's setting distributed.comm.require-encryption forbids {url}; use the"
                " scheduler's tls:// address, or correct the setting"
            )
        case ssl.SSLCertVerificationError() as cause:
            trouble = (
                f"the certificate of the scheduler at {url} is not trusted"
                f" ({cause.verify_message}); give it another, or name the one that it was signed"
                f" with in {_variable('ca-file')}"
            )
        # If the other side is the first to say something there is no handshake.
        case ssl.SSLError(reason="WRONG_VERSION_NUMBER") | ValueError():
            trouble = (
                f"what answers at {url} does not use TLS; correct --cluster, or give the scheduler"
                " certificates"
            )
        case _ if not isinstance(error, CommClosedError):
            trouble = (
                f"no scheduler answers at {url}; start one with dask scheduler, or correct"
                " --cluster"
            )
        # The other side has ended a connection that was there.  With TLS 1.3 a client learns so,
        # and not always why, after its handshake.
        case _ if url.startswith("tls:"):
            trouble = (
                f"the scheduler at {url} does not accept this machine's certificate; name one that"
                f" was signed with what the scheduler trusts in {_variable('client.cert')} and"
                f" {_variable('client.key')}"
            )
        case _:
            trouble = (
                f"what answers at {url} ended the connection; correct --cluster: a scheduler with"
                " certificates has an address with tls://"
            )
    return SettingsError(trouble)


def _origin(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _troubles(roles: Sequence[str]) -> Iterator[str]:
    for name in ("ca-file", *(f"{role}.{what}" for role in roles for what in ("cert", "key"))):
        if (path := _path(name)) is not None:
            try:
                with Path(path).open("rb"):
                    pass
            except OSError as exc:
                yield f"{_named(name)} cannot be read: {exc.strerror}"
    if (path := _path("ca-file")) is not None:
        try:
            ssl.create_default_context(cafile=path)
        except ssl.SSLError:
            yield f"{_named('ca-file')} has no certificate in it (in the form PEM)"
    for role in roles:
        yield from _unsound_pair(f"{role}.cert", f"{role}.key")


def _unsound_pair(cert: str, key: str) -> Iterator[str]:
    path, key_path = _path(cert), _path(key)
    if path is None:
        return
    try:
        # With an empty password nobody is asked for one.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(path, key_path, password="")
    except ssl.SSLError:
        if key_path is None:
            yield f"{_named(cert)} is no certificate with its key; name the key in {_variable(key)}"
        else:
            yield f"{_named(cert)} and {_named(key)} are not a certificate and its key"


def _path(name: str) -> str | None:
    """
    Return the path in the setting *name*, unless there is none, or the certificate itself.
    """
    value = dask.config.get(f"distributed.comm.tls.{name}", None)
    return value if isinstance(value, str) and "\n" not in value else None


def _named(name: str) -> str:
    return f"{_path(name)}, which Dask's setting distributed.comm.tls.{name} names,"


def _name_them(roles: Sequence[str]) -> str:
    names = ["ca-file", *(f"{role}.{what}" for role in roles for what in ("cert", "key"))]
    *variables, last = map(_variable, names)
    return f"name them in Dask's settings: {', '.join(variables)} and {last}"


def _variable(name: str) -> str:
    """
    Return the variable of the environment for the setting *name* of TLS.
    """
    words = name.upper().replace("-", "_").replace(".", "__")
    return f"DASK_DISTRIBUTED__COMM__TLS__{words}"
