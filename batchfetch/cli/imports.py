"""
Imports put off until somebody needs what they bring, and what makes them quicker.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept() -> Iterator[None]:
    """
    Take what the block makes for good: look for no garbage meanwhile, nor in it later on.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
