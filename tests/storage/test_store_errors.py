"""
What a store answers, or does not, and what is wrong with its variables: one sentence for each.
"""

import os
import ssl

import pytest
from certificates import make_certificate
from proxy import Refuse, proxied
from stores import opened, use

from batchfetch.errors import SettingsError, StorageError

pytestmark = pytest.mark.anyio


def at(address):
    """
    Return the variables of a store at *address*.
    """
    return {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_ENDPOINT_URL": address}


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (403, "InvalidAccessKeyId", "refuses access to .* .403 InvalidAccessKeyId."),
        (403, "AccessDenied", "refuses access to .*check that the credentials are right"),
        (404, "NoSuchBucket", "there is no bucket scans for s3://scans/x; make it"),
        (301, "PermanentRedirect", "is in another region; set AWS_REGION"),
        (400, "ExpiredToken", "credentials for s3://scans/x have expired .400 ExpiredToken."),
        (403, "RequestTimeTooSkewed", "because this machine's clock is wrong"),
        (400, "InvalidRequest", "refuses a request to s3://scans/x .400 InvalidRequest."),
        (503, "SlowDown", r"asks to slow down and does not stop doing so \(503( SlowDown)?\)"),
        (500, "InternalError", r"the store of s3://scans/x fails \(500( InternalError)?\)"),
    ],
)
async def test_what_a_store_answers_is_told_apart(moto_store, monkeypatch, status, code, sentence):
    """
    Each kind of refusal has its sentence; none shows a credential.
    """
    with proxied(moto_store.url) as proxy:
        url = use(moto_store, "x", monkeypatch)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        proxy.hinder = lambda _: Refuse(status, code)
        with pytest.raises(StorageError, match=sentence) as caught:
            async with opened(url):
                pass
    text = str(caught.value)
    assert moto_store.variables["AWS_SECRET_ACCESS_KEY"] not in text
    assert moto_store.variables["AWS_ACCESS_KEY_ID"] not in text
    assert "\n" not in text


async def test_a_dead_endpoint(moto_store, monkeypatch):
    """
    A store that is not there is told within seconds, with the variable that may be wrong.
    """
    url = use(moto_store, "x", monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match=r"cannot be reached; check .*AWS_ENDPOINT_URL"):
        async with opened(url):
            pass


@pytest.mark.parametrize(
    ("url", "variables", "sentence"),
    [
        ("s3://scans/x", {"AWS_PROFILE": "p"}, "AWS_PROFILE is set, .*export-credentials"),
        ("s3://scans/x", at("127.0.0.1:9"), "AWS_ENDPOINT_URL='127.0.0.1:9' is not a valid URL"),
        ("s3://scans/x", at(""), "AWS_ENDPOINT_URL='' is not a valid URL; use https://HOST"),
        ("s3://scans/x", at("http://[bad"), "is not a valid URL"),
        ("s3://scans/x", at("ftp://127.0.0.1"), "is not a valid URL"),
        ("s3://scans/x", at("https://u:a-secret@h"), "AWS_ENDPOINT_URL holds credentials"),
        ("s3://scans/x", at("http://127.0.0.1:9"), "plain http, .*AWS_ALLOW_HTTP=true"),
        (
            "az://scans/x",
            {"AZURE_STORAGE_ENDPOINT": "127.0.0.1:9/account"},
            "AZURE_STORAGE_ENDPOINT='127.0.0.1:9/account' is not a valid URL",
        ),
        ("gs://scans/x", {"GOOGLE_BASE_URL": "host"}, "GOOGLE_BASE_URL='host' is not a valid"),
        (
            "s3://scans/x",
            {**at("https://127.0.0.1"), "AWS_TIMEOUT": "soon"},
            'failed to parse "soon" .*correct the variable of AWS_',
        ),
        ("az://scans/x", {}, "az://scans/x cannot be used: .*AZURE_STORAGE_ACCOUNT_NAME"),
    ],
)
async def test_settings_of_a_store_that_are_missing(monkeypatch, url, variables, sentence):
    """
    What cannot be right is told before anything is asked.
    """
    for name in [*os.environ]:
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_")):
            monkeypatch.delenv(name)
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    with pytest.raises(SettingsError, match=sentence) as caught:
        async with opened(url):
            pass
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_no_credentials_at_all(monkeypatch):
    """
    Where there are none, and no cloud that hands some out, the sentence says what to set.
    """
    for name in [*os.environ]:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match="there are no credentials for s3://scans/x; set AWS_"):
        async with opened("s3://scans/x"):
            pass


@pytest.fixture
def tls_store(tmp_path, moto_store):
    """
    A proxy of the store over TLS, and the certificate it shows.
    """
    certificate, key = make_certificate(tmp_path, "IP:127.0.0.1", "basicConstraints=CA:FALSE")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with proxied(moto_store.url, tls=context) as proxy:
        yield proxy, certificate


async def test_a_certificate_that_is_not_trusted(tls_store, moto_store, monkeypatch):
    """
    A store over TLS must be trusted; SSL_CERT_FILE names what is.
    """
    proxy, certificate = tls_store
    url = use(moto_store, "x", monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    with pytest.raises(
        StorageError, match=f"certificate of the store of {url} is not trusted; set"
    ):
        async with opened(url):
            pass
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with opened(url) as storage:
        assert await storage.stat(["a.png"]) == [None]


async def test_a_store_behind_a_proxy(moto_store, monkeypatch):
    """
    Requests go through the proxy of HTTP_PROXY, but not those to a host in NO_PROXY.
    """
    url = use(moto_store, "x", monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store.test")
    with proxied(moto_store.url) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        async with opened(url) as storage:
            assert await storage.stat(["a.png"]) == [None]
        assert {each.path.partition("?")[0] for each in proxy.requests} == {
            "http://store.test/scans"
        }
        proxy.requests.clear()
        monkeypatch.setenv("NO_PROXY", "store.test")
        with pytest.raises(StorageError, match="cannot be reached"):
            async with opened(url):
                pass
        assert proxy.requests == []


async def test_a_proxy_that_lets_nothing_pass(moto_store, monkeypatch):
    """
    A proxy that refuses the store is told from a store that is not there.
    """
    url = use(moto_store, "x", monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://store.test")
    with proxied(moto_store.url) as proxy:  # It knows no CONNECT.
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(StorageError, match=r"the proxy does not let .*check HTTPS_PROXY"):
            async with opened(url):
                pass
