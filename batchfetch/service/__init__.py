"""
The service over HTTP: questions and answers, credentials and tokens.
"""

from batchfetch.service.base import Body, RequestBody, Submitter, Transport
from batchfetch.service.connection import open_transport
from batchfetch.service.credentials import Credentials, find_credentials
from batchfetch.service.session import SessionTransport
from batchfetch.service.tokens import TokenEndpoint, Tokens, TokenSource

__all__ = [
    "Body",
    "Credentials",
    "RequestBody",
    "SessionTransport",
    "Submitter",
    "TokenEndpoint",
    "TokenSource",
    "Tokens",
    "Transport",
    "find_credentials",
    "open_transport",
]
