"""
Images that go out over TLS, directly and through a proxy, with each way to lose their answer.
"""

import hashlib
import ssl
from urllib.parse import urlsplit

import pytest
from certificates import make_certificate
from receiver import Act, Receiver, half_answer, no_answer, status
from replies import Ending
from submitting import TOKEN, images_at, lines_of, submit_all
from tunnel import Tunnel

from batchfetch.errors import UnreachableError
from batchfetch.submit_settings import SubmitStatus

pytestmark = pytest.mark.anyio

SUBMITTED, UNCERTAIN = SubmitStatus.SUBMITTED, SubmitStatus.UNCERTAIN
MIB = 2**20


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request):
    """
    Both event loops.
    """
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """
    A certificate for this machine and for a service's name, and its key.
    """
    return make_certificate(tmp_path_factory.mktemp("tls"), "IP:127.0.0.1,DNS:service.test")


@pytest.fixture
def receiver(certificate):
    """
    A service that takes images over TLS only.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return Receiver(tls=context)


@pytest.fixture
def submit(tmp_path, certificate):
    """
    Submit the images in the folder `scans` to a root URL.
    """

    async def submit(base_url, **how):
        return await submit_all(tmp_path / "scans", base_url, ca_file=certificate[0], **how)

    return submit


async def test_large_and_small_images_arrive_as_they_are(receiver, submit, tmp_path):
    """
    What is accepted is what the files hold, in bodies of many pieces, too.
    """
    hashes = set(images_at(tmp_path / "scans", 20).values())
    large = tmp_path / "scans" / "large.png"
    large.write_bytes((tmp_path / "scans" / "00000.png").read_bytes() + b"x" * (9 * MIB))
    hashes.add(hashlib.sha256(large.read_bytes()).hexdigest())
    async with receiver:
        summary = await submit(receiver.base_url)
    assert (summary.outcomes, summary.calls) == ({SUBMITTED: 21}, 21)
    assert receiver.images == dict.fromkeys(hashes, 1)
    by_hash = {each.sha256: each.task_id for each in receiver.submitted}
    lines = lines_of(tmp_path / "manifest.jsonl")
    assert {line["source_sha256"]: line["task_id"] for line in lines} == by_hash


@pytest.mark.parametrize("ending", [Ending.CLOSE, Ending.RESET])
@pytest.mark.parametrize("answer", [no_answer, half_answer])
async def test_lost_answer_is_uncertain(receiver, submit, tmp_path, answer, ending):
    """
    An image that was taken, and whose answer did not come whole, is not sent again.
    """
    images_at(tmp_path / "scans", 3)
    receiver.acts = [answer(ending)]
    async with receiver:
        summary = await submit(receiver.base_url)
        assert summary.outcomes == {SUBMITTED: 2, UNCERTAIN: 1}
        summary = await submit(receiver.base_url)
    assert (summary.already, summary.outcomes, summary.calls) == (2, {UNCERTAIN: 1}, 0)
    assert set(receiver.images.values()) == {1}


@pytest.mark.parametrize("reads", [0, 0.5])
async def test_connection_cut_before_the_end_of_the_body(receiver, submit, tmp_path, reads):
    """
    An image that cannot have arrived is sent again.
    """
    images_at(tmp_path / "scans", 1, padding=9 * MIB)
    receiver.acts = [Act(reads=reads, ending=Ending.RESET), status(503)]
    async with receiver:
        summary = await submit(receiver.base_url)
    assert (summary.outcomes, summary.calls) == ({SUBMITTED: 1}, 3)


async def test_images_go_through_the_proxy_of_the_environment(
    receiver, submit, tmp_path, monkeypatch
):
    """
    It is asked for a tunnel to the service, with its own password, and sees no token.
    """
    hashes = images_at(tmp_path / "scans", 5, padding=MIB)
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with receiver, Tunnel(urlsplit(receiver.base_url).port) as tunnel:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:pass@{tunnel.address}")
        summary = await submit("https://service.test")
    assert (summary.outcomes, summary.calls) == ({SUBMITTED: 5}, 5)
    assert receiver.images == dict.fromkeys(hashes.values(), 1)
    assert all(each.startswith("CONNECT service.test:443 ") for each in tunnel.requests)
    assert all("Proxy-Authorization: Basic dXNlcjpwYXNz" in each for each in tunnel.requests)
    assert not any(TOKEN in each for each in tunnel.requests)
    assert not any("proxy-authorization" in each.headers for each in receiver.submitted)
    assert tunnel.passed > 5 * MIB


async def test_certificate_that_is_not_trusted_gets_no_image(receiver, tmp_path):
    """
    Neither an image nor the token goes to a service that cannot prove its name.
    """
    images_at(tmp_path / "scans", 1)
    async with receiver:
        with pytest.raises(UnreachableError, match="certificate"):
            await submit_all(tmp_path / "scans", receiver.base_url)
    assert receiver.posts == 0
