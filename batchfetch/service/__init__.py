"""
The other side: who we are to it, its tokens and its answers.
"""

from batchfetch.service.connection import open_transport
from batchfetch.service.credentials import Credentials, find_credentials
from batchfetch.service.tokens import TokenSource
from batchfetch.service.transport import AiohttpTransport, Body, Transport

__all__ = [
    "AiohttpTransport",
    "Body",
    "Credentials",
    "TokenSource",
    "Transport",
    "find_credentials",
    "open_transport",
]
