"""
Stores on loopback, one of each kind for the tests of a file.
"""

import pytest
from stores import AZURITE, azurite, moto, rclone, use


@pytest.fixture(scope="module")
def moto_store():
    """
    A store with conditional writes.
    """
    with moto() as store:
        yield store


@pytest.fixture(scope="module")
def rclone_store(tmp_path_factory):
    """
    A store without them.
    """
    with rclone(tmp_path_factory.mktemp("rclone")) as store:
        yield store


@pytest.fixture(scope="module")
def azure_store(tmp_path_factory):
    """
    Azure's stand-in.
    """
    if AZURITE is None:
        pytest.skip("Azure's stand-in is not installed: npm install -g azurite")
    with azurite(tmp_path_factory.mktemp("azurite")) as store:
        yield store


@pytest.fixture
def prefix(tmp_path):
    """
    A prefix of the test's own.
    """
    return f"{tmp_path.parent.name}/{tmp_path.name}"


@pytest.fixture
def url(prefix, moto_store, monkeypatch):
    """
    The URL of a prefix in moto.
    """
    return use(moto_store, prefix, monkeypatch)
