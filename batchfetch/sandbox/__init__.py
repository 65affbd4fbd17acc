"""
Local stand-in for the service, for tests and trials without an account or a network.
"""

from batchfetch.sandbox.api import Exchange
from batchfetch.sandbox.server import Sandbox, open_sandbox
from batchfetch.sandbox.settings import InjectedFault, SandboxSettings
from batchfetch.sandbox.tokens import ACCESS_TOKEN, REFUSED_CLIENT_ID

__all__ = [
    "ACCESS_TOKEN",
    "REFUSED_CLIENT_ID",
    "Exchange",
    "InjectedFault",
    "Sandbox",
    "SandboxSettings",
    "open_sandbox",
]
