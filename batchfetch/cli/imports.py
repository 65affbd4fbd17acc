"""
Deferred imports: fast, without garbage collection, and not interrupted.
"""

import gc
import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept() -> Iterator[None]:
    """
    Treat the objects created in the block as permanent: never scan them for garbage.

    A SIGINT during the block is delivered after it: an import that is interrupted may fail with
    another error, or be caught half-way by a module that has an alternative.
    """
    gc.disable()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
