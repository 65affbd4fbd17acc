"""
Sentences for what an object store answers, and for what it does not.
"""

import re

from obstore import exceptions

from batchfetch.errors import StorageError
from batchfetch.text import sanitize

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_MISSING = re.compile(r"NoSuchBucket|ContainerNotFound|The specified bucket does not exist")
_CONDITIONS = exceptions.AlreadyExistsError, exceptions.PreconditionError
_UNSUPPORTED = exceptions.NotSupportedError, NotImplementedError
_UNSUPPORTED_STATUSES = {"400", "405", "501"}
_UNAUTHORIZED = exceptions.PermissionDeniedError, exceptions.UnauthenticatedError

# Where clouds hand credentials to their own machines: asked only if there are no others.
_METADATA = re.compile(
    r"169\.254\.(169\.254|170\.2)|/latest/(api/token|meta-data)|metadata\.google\.internal"
)

# Of a URL only the beginning is shown: the rest may hold a signature.
_QUERY = re.compile(r"\?[^\s:]*")

_MAX_SHOWN = 300

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired"}
_SKEWED = {"RequestTimeTooSkewed", "RequestExpired"}

CREDENTIALS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; profiles and SSO are not read, so run"
    ' eval "$(aws configure export-credentials --format env)" for those',
    "az": "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS",
}
"""Where each store's credentials come from."""

_ENDPOINT = {
    "s3": "AWS_ENDPOINT_URL",
    "az": "AZURE_STORAGE_ENDPOINT",
    "gs": "GOOGLE_BASE_URL",
}


class ConditionFailedError(StorageError):
    """
    An object was there already, or is another one by now.
    """


class MissingObjectError(StorageError):
    """
    There is no such object.
    """


class UnsupportedRequestError(StorageError):
    """
    The store does not know such a request.
    """


def store_error(error: Exception, url: str) -> StorageError:
    """
    Return what *error*, raised by obstore about an object of the store at *url*, means to a user.
    """
    text = str(error).split("\n\nDebug source", 1)[0]
    if isinstance(error, _CONDITIONS):
        return ConditionFailedError(f"an object in {url} is not as it was expected to be")
    if isinstance(error, FileNotFoundError) and not _MISSING.search(text):
        return MissingObjectError(f"an object in {url} is no longer there")
    sentence = _sentence(error, text, url)
    status = _STATUS.search(text)
    if isinstance(error, _UNSUPPORTED) or (status and status[1] in _UNSUPPORTED_STATUSES):
        return UnsupportedRequestError(sentence)
    return StorageError(sentence)


def _sentence(error: Exception, text: str, url: str) -> str:
    scheme, _, rest = url.partition("://")
    status, code = _STATUS.search(text), _CODE.search(text)
    answer = " ".join(found[1] for found in (status, code) if found)
    if _MISSING.search(text):
        return f"there is no bucket {rest.split('/', 1)[0]} for {url}; make it, or correct --output"
    if _METADATA.search(text):
        return f"there are no credentials for {url}; {CREDENTIALS[scheme]}"
    if "configured region" in text:
        return f"the bucket of {url} is in another region; set AWS_REGION"
    if status is None and "HTTP error" in text:
        return _connection_failure(str(error), url)
    if isinstance(error, _UNAUTHORIZED) or status is not None:
        return _refusal(answer, code[1] if code else "", url)
    return f"the store of {url} cannot be used: {sanitize(_QUERY.sub('', text), _MAX_SHOWN)}"


def _connection_failure(debug: str, url: str) -> str:
    """
    Return why there was no answer; *debug* tells it in the words of the libraries below.
    """
    if "InvalidCertificate" in debug:
        return (
            f"the certificate of the store of {url} is not trusted; set SSL_CERT_FILE to a file of"
            " the root certificates that are to be trusted"
        )
    if "Tunnel" in debug:
        return (
            f"the proxy does not let requests to the store of {url} pass; check HTTPS_PROXY, or"
            " name the store in NO_PROXY"
        )
    where = f"the network and {_ENDPOINT[url.partition('://')[0]]}"
    return f"the store of {url} cannot be reached; check {where}, and run again"


def _refusal(answer: str, code: str, url: str) -> str:
    if code in _EXPIRED:
        return f"the credentials for {url} have expired ({answer}); get new ones, and run again"
    if code in _SKEWED:
        return (
            f"the store of {url} refuses requests because this machine's clock is wrong ({answer});"
            " set it, and run again"
        )
    match answer[:3]:
        case "401" | "403":
            return (
                f"the store refuses access to {url} ({answer}); check that the credentials are"
                " right and may list, get, put and delete there"
            )
        case "429" | "503":
            return (
                f"the store of {url} asks to slow down and does not stop doing so ({answer}); run"
                " again later, or with a lower --concurrency"
            )
        case _ if answer[:1] == "5":
            return f"the store of {url} fails ({answer}); run again later"
        case _:
            return f"the store refuses a request to {url} ({answer}); check --output"
