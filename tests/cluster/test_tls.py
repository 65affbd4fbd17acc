"""
A run on a cluster whose connections are encrypted, and certificates that do not fit.
"""

import socket

import pytest
from certificates import make_certificate
from command import (
    CLIENT_ID,
    SECRET,
    client_credentials,
    expected_images,
    finish,
    images_in,
    manifest_of,
    read_report,
    run,
    start,
    wait_until,
)
from dask_cluster import DaskCluster
from origin import Origin, serving

ROLES = ("SCHEDULER", "WORKER", "CLIENT")
AUTHORITY = "DASK_DISTRIBUTED__COMM__TLS__CA_FILE"
CERTIFICATE = "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT"
KEY = "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY"
ENCRYPTION = "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION"


def variables(certificate, key, *, authority):
    """
    Return the variables that name a *certificate* for all roles, as Dask documents them.
    """
    prefix = "DASK_DISTRIBUTED__COMM__TLS"
    pair = {"CERT": str(certificate), "KEY": str(key)}
    named = {f"{prefix}__{role}__{what}": path for role in ROLES for what, path in pair.items()}
    return {AUTHORITY: str(authority), **named}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """
    A folder with two certificates that vouch for themselves, `ours` and `theirs`.
    """
    folder = tmp_path_factory.mktemp("tls")
    for name in ("ours", "theirs"):
        (folder / name).mkdir()
        make_certificate(folder / name, "IP:127.0.0.1")
    (folder / "text.pem").write_text("no certificate\n")
    return folder


@pytest.fixture(scope="module")
def tls(folder):
    """
    The variables that name `ours`.
    """
    certificate, key = folder / "ours" / "certificate.pem", folder / "ours" / "key.pem"
    return variables(certificate, key, authority=certificate)


@pytest.fixture(scope="module")
def dask(tls, tmp_path_factory):
    """
    A scheduler that takes connections with `ours` alone.
    """
    with DaskCluster(tmp_path_factory.mktemp("dask"), host="tls://127.0.0.1", env=tls) as dask:
        yield dask


@pytest.fixture
def fetch(tmp_path):
    """
    Fetch two tasks by the cluster at an address, with variables.
    """
    manifest = manifest_of(tmp_path, ["a", "b"])

    def fetch(address, env):
        with serving(Origin()) as origin:
            options = ("-o", tmp_path / "out", "--base-url", origin.base_url, "--cluster", address)
            done = run("fetch", manifest, *options, env=client_credentials(**env))
            assert origin.calls == []
        return done

    return fetch


def check_refused(done, *words):
    """
    Say what must hold if the command ends before anything is asked: one sentence with *words*.
    """
    assert done.code == 2, done.stderr
    assert done.stderr.count("\n") == 1
    for word in words:
        assert str(word) in done.stderr


def test_workers_with_certificates(dask, tls, tmp_path):
    """
    Two workers share a run, all connections are encrypted, and no secret is in any log.
    """
    dask.add_worker()
    dask.add_worker()
    assert dask.address.startswith("tls://127.0.0.1:")
    tasks = [f"task{number}" for number in range(100)]
    manifest, out = manifest_of(tmp_path, tasks), tmp_path / "out"
    with serving(Origin()) as origin:
        done = run(
            *("fetch", manifest, "-o", out, "--base-url", origin.base_url, "--json"),
            *("--cluster", dask.address, "--chunk", "20"),
            env=client_credentials(**tls),
        )
    assert done.code == 0, done.stderr
    assert "warn" not in done.stderr
    assert done.summary["workers"] == 2
    assert images_in(out) == expected_images(tasks)
    assert {line["outcome"] for line in read_report(out / "report.jsonl")} == {"Completed"}
    assert len(origin.calls) == 100
    secrets = (SECRET, CLIENT_ID, "granted-token")
    assert not any(secret in text for secret in secrets for text in (dask.logs, done.stderr))
    assert dask.logs.count("Registered to") == 2
    assert "tcp://" not in dask.logs


def in_the_open():
    """
    Return options of a worker that others would reach without encryption; nothing is there.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        here = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    return ("--listen-address", here, "--contact-address", "tcp://192.0.2.1:9")


def test_a_worker_in_the_open(fetch, tmp_path):
    """
    A scheduler on this machine does not make its workers safe: no token is sent to them.
    """
    folder = tmp_path / "dask"
    folder.mkdir()
    with DaskCluster(folder) as dask:
        dask.add_worker(*in_the_open())
        done = fetch(dask.address, {})
    words = "the worker at tcp://192.0.2.1:9 would be sent the token without encryption"
    check_refused(done, words, "--insecure-cluster")


@pytest.mark.slow
def test_a_late_worker_in_the_open(tmp_path):
    """
    It is left out, with a warning, and the others go on.
    """
    folder, out = tmp_path / "dask", tmp_path / "out"
    folder.mkdir()
    tasks = [f"task{number}" for number in range(200)]
    manifest = manifest_of(tmp_path, tasks)
    with DaskCluster(folder) as dask, serving(Origin()) as origin:
        dask.add_worker()
        process = start(
            *("fetch", manifest, "-o", out, "--base-url", origin.base_url, "--json"),
            *("--cluster", dask.address, "--rate", "20"),
            env=client_credentials(),
        )
        wait_until(lambda: origin.calls, process)
        dask.add_worker(*in_the_open())
        done = finish(process)
    assert done.code == 0, done.stderr
    assert done.stderr.count("a worker takes no part: the worker at tcp://192.0.2.1:9") == 1
    assert images_in(out) == expected_images(tasks)
    assert done.summary["workers"] == 1


def test_a_scheduler_with_another_authority(dask, tls, folder, fetch):
    """
    A scheduler that this machine does not trust gets nothing.
    """
    theirs = str(folder / "theirs" / "certificate.pem")
    done = fetch(dask.address, tls | {AUTHORITY: theirs})
    check_refused(done, f"the scheduler at {dask.address} is not trusted", AUTHORITY)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_certificate_of_another_authority(dask, tls, folder, fetch, version):
    """
    It is said that the scheduler does not accept it.
    """
    theirs = folder / "theirs" / "certificate.pem", folder / "theirs" / "key.pem"
    env = variables(*theirs, authority=tls[AUTHORITY])
    done = fetch(dask.address, env | {"DASK_DISTRIBUTED__COMM__TLS__MAX_VERSION": version})
    words = f"the scheduler at {dask.address} does not accept this machine's certificate"
    check_refused(done, words, CERTIFICATE)


@pytest.mark.parametrize("missing", [(AUTHORITY, CERTIFICATE, KEY), (AUTHORITY,), (CERTIFICATE,)])
def test_no_certificates(tls, fetch, missing):
    """
    It is said that they are missing, and which settings name them, though nothing listens.
    """
    address = "tls://127.0.0.1:1"
    env = {name: value for name, value in tls.items() if name not in missing}
    check_refused(fetch(address, env), f"{address} needs certificates", AUTHORITY, CERTIFICATE, KEY)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("address", "setting", "file", "words"),
    [
        ("tls://127.0.0.1:1", AUTHORITY, "none.pem", "ca-file names, cannot be read: No such file"),
        ("local:1", CERTIFICATE, "none.pem", "client.cert names, cannot be read: No such file"),
        ("tls://127.0.0.1:1", KEY, "none.pem", "client.key names, cannot be read: No such file"),
        ("tls://127.0.0.1:1", AUTHORITY, "theirs", "ca-file names, cannot be read: Is a directory"),
        ("local:1", AUTHORITY, "text.pem", "ca-file names, has no certificate in it"),
        ("local:1", CERTIFICATE, "text.pem", "are not a certificate and its key"),
        ("tls://127.0.0.1:1", KEY, "theirs/key.pem", "are not a certificate and its key"),
    ],
)
def test_files_that_cannot_be_used(tls, folder, fetch, address, setting, file, words):
    """
    The file is named, and the setting that names it, for a cluster of this machine, too.
    """
    done = fetch(address, tls | {setting: str(folder / file)})
    check_refused(done, folder / file, "which Dask's setting distributed.comm.tls.", words)


def test_a_certificate_without_its_key(tls, fetch):
    """
    A file with the certificate alone has to be joined by one with the key.
    """
    env = {name: value for name, value in tls.items() if name != KEY}
    done = fetch("tls://127.0.0.1:1", env)
    check_refused(done, tls[CERTIFICATE], "is no certificate with its key", KEY)


@pytest.mark.slow
@pytest.mark.parametrize(("address", "named"), [("tls://127.0.0.1:1", True), ("local:1", False)])
def test_settings_that_dask_does_not_know(tls, fetch, address, named):
    """
    Dask's own words say which, with certificates that are sound and without any.
    """
    version = {"DASK_DISTRIBUTED__COMM__TLS__MIN_VERSION": "1.0"}
    done = fetch(address, (tls if named else {}) | version)
    check_refused(done, "distributed.comm.tls.min-version=1.0 is not supported")


@pytest.mark.slow
def test_with_tls_or_without(dask, tls, folder, fetch, tmp_path):
    """
    An address with the wrong scheme is said to be that.
    """
    done = fetch(dask.address.replace("tls:", "tcp:"), {})
    check_refused(done, "ended the connection", "tls://")
    with DaskCluster(tmp_path) as plain:
        address = plain.address.replace("tcp:", "tls:")
        check_refused(fetch(address, tls), f"what answers at {address} does not use TLS")
        done = fetch(plain.address, {ENCRYPTION: "true"})
        check_refused(done, f"distributed.comm.require-encryption forbids {plain.address}")


@pytest.mark.slow
def test_encryption_on_this_machine(tls, fetch):
    """
    Dask may be told to encrypt everything: then processes of this machine need certificates, too.
    """
    done = fetch("local:1", {ENCRYPTION: "true"})
    check_refused(done, "asks for certificates on this machine", CERTIFICATE)
