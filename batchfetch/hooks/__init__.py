"""
Listeners of a run: the interface, and one file for each listener.
"""

from batchfetch.hooks.base import (
    Answered,
    Asked,
    Event,
    Held,
    Hook,
    Paused,
    Resumed,
    Settled,
    tell_all,
)
from batchfetch.hooks.metrics import MetricsHook
from batchfetch.hooks.progress import ProgressHook, Tally

__all__ = [
    "Answered",
    "Asked",
    "Event",
    "Held",
    "Hook",
    "MetricsHook",
    "Paused",
    "ProgressHook",
    "Resumed",
    "Settled",
    "Tally",
    "tell_all",
]
