"""
What every test may use.
"""

import pytest


@pytest.fixture
def anyio_backend():
    """
    Async tests run on asyncio: aiohttp knows no other loop.
    """
    return "asyncio"
