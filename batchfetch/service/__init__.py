"""
The other side: who we are to it, its tokens and its answers.
"""

from batchfetch.service.connection import open_transport
from batchfetch.service.credentials import Credentials, find_credentials
from batchfetch.service.session import AiohttpTransport, Body, Transport
from batchfetch.service.tokens import TokenSource

__all__ = [
    "AiohttpTransport",
    "Body",
    "Credentials",
    "TokenSource",
    "Transport",
    "find_credentials",
    "open_transport",
]
