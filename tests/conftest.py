"""
What every test may use.
"""

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no defect: nothing is measured by how long it takes.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture
def anyio_backend():
    """
    Async tests run on asyncio: aiohttp knows no other loop.
    """
    return "asyncio"
