"""
What becomes of a whole run of the real command when the service, its tokens or the way to it
misbehave.
"""

import signal
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import replies
from certificates import make_certificate
from command import (
    CLIENT_ID,
    SECRET,
    TOKEN,
    client_credentials,
    environment,
    expected_images,
    finish,
    images_in,
    last_lines,
    manifest_of,
    run,
    run_measured,
    start,
    wait_until,
)
from origin import Origin, serving
from replies import MIB, Ending, failing, raw, ready, says, status

TASKS = [f"task{number}" for number in range(30)]
EITHER = pytest.mark.parametrize(
    "credentials", [environment, client_credentials], ids=["token", "pair"]
)


@pytest.fixture
def fetch(tmp_path):
    """
    Fetch `TASKS` from an origin with the real command.
    """

    def fetch(origin, *options, task_ids=TASKS, **how):
        return run(
            *("fetch", manifest_of(tmp_path, task_ids), "-o", tmp_path / "out", "--json"),
            *("--base-url", origin.base_url, *options),
            **how,
        )

    return fetch


# Tokens


def test_one_token_request_however_many_wait(fetch):
    """
    Thirty pollers that need a token at once make one request for it.
    """
    with serving(Origin()) as origin:
        finished = fetch(origin, env=client_credentials())
    assert finished.code == 0
    assert len(origin.token_requests) == finished.summary["token_requests"] == 1
    form = origin.token_requests[0].body.decode()
    assert form == f"grant_type=client_credentials&client_id={CLIENT_ID}&client_secret={SECRET}"


@pytest.mark.parametrize("code", [400, 401, 403])
def test_refused_credentials_are_sent_once(fetch, code):
    """
    Refusals are counted against the account, so one is enough: exit 5, no task asked.
    """
    with serving(Origin(tokens=[status(code)] * 9)) as origin:
        finished = fetch(origin, env=client_credentials())
    assert finished.code == 5
    assert finished.summary["stopped_by"] == "credentials"
    assert finished.summary["left"] == len(TASKS)
    assert len(origin.token_requests) == 1
    assert origin.calls == []


INVALID = b'{"error": "invalid_client", "error_description": "Client authentication failed"}'


@pytest.mark.parametrize("code", [200, 202, 400, 401, 500, 503])
def test_refusal_in_the_words_of_oauth(fetch, code):
    """
    `invalid_client` is a refusal whatever its status: one request, and both of its words are shown.
    """
    with serving(Origin(tokens=[status(code, body=INVALID)] * 9)) as origin:
        finished = fetch(origin, env=client_credentials())
    assert finished.code == 5
    assert len(origin.token_requests) == 1
    assert origin.calls == []
    assert "refuses the credentials" in finished.stderr
    assert "invalid_client: Client authentication failed" in finished.stderr


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        (200, '"expires_in": null'),
        (200, '"expires_in": 0'),
        (201, '"expires_in": -5'),
        (202, '"expires_in": "soon", "token_type": "mac"'),
        (203, '"expires_in": 1e400, "token_type": null'),
    ],
)
def test_odd_words_about_a_token_cost_no_image(fetch, code, fields):
    """
    A token is used whatever its answer says of its life and type, with any status of success.
    """
    granted = replies.http(f'{{"access_token": " a-t0ken\\n", {fields}}}'.encode(), code)
    with serving(Origin(tokens=[granted])) as origin:
        finished = fetch(origin, env=client_credentials())
    assert finished.code == 0, finished.stderr
    assert len(origin.token_requests) == 1
    assert {call.headers["authorization"] for call in origin.calls} == {"Bearer a-t0ken"}


def test_page_in_place_of_a_token_is_passing(fetch):
    """
    An HTML page, of status 200 or not, is no refusal: the token is asked for again.
    """
    pages = [replies.http(b"<html>Back soon"), status(502, body=b"<html>Bad gateway")]
    with serving(Origin(tokens=pages)) as origin:
        finished = fetch(origin, env=client_credentials())
    assert finished.code == 0, finished.stderr
    assert len(origin.token_requests) == 3


def test_token_that_ends_mid_run_is_renewed_once(fetch, tmp_path):
    """
    However many requests it fails, an expired token costs one renewal, and the images are right.
    """
    with serving(Origin()) as origin:
        origin.script["task9"] = [lambda _: origin.revoke() or status(401), ready]
        finished = fetch(origin, "--concurrency", 5, env=client_credentials())
    assert finished.code == 0
    assert len(origin.token_requests) == 2
    assert finished.summary["calls"] == len(origin.calls)
    assert images_in(tmp_path / "out") == expected_images(TASKS)


def test_token_is_renewed_before_it_ends(fetch):
    """
    A token said to live shortly is replaced in time: no request is refused.
    """
    slow = lambda task_id: raw(*ready(task_id).pieces(), interval=0.1)  # noqa: E731 - a reply
    with serving(Origin(default=slow, token_life=0.3)) as origin:
        finished = fetch(origin, "--concurrency", 1, task_ids=TASKS[:8], env=client_credentials())
    assert finished.code == 0
    assert len(origin.token_requests) > 1
    assert len(origin.calls) == 8


def test_token_that_is_refused_however_new_ends_the_run(fetch):
    """
    A service that refuses what it has just granted is not asked for ever: exit 5.  Two tasks are
    asked about with each token, to tell a refused token from a refused task.
    """
    with serving(Origin(default=status(401))) as origin:
        finished = fetch(origin, "--concurrency", 1, env=client_credentials())
    assert finished.code == 5
    assert finished.summary["left"] == len(TASKS)
    assert len(origin.token_requests) == 2
    assert len(origin.calls) == 4


def test_task_that_is_refused_with_a_good_token(fetch):
    """
    One task that answers 401 is that task's trouble, with either kind of credentials: exit 3.
    """
    for env in (environment(), client_credentials()):
        with serving(Origin({"task9": [status(401)]})) as origin:
            finished = fetch(origin, "--overwrite", env=env)
        assert finished.code == 3
        assert finished.summary["outcomes"] == {"Completed": len(TASKS) - 1, "Failed": 1}
        assert "http_401" in finished.stderr


def test_expired_access_token_ends_the_run(fetch):
    """
    A token that cannot be renewed and is refused ends the run; what is done stays done.
    """
    with serving(Origin({t: [status(401)] for t in TASKS[10:]})) as origin:
        finished = fetch(origin, "--concurrency", 1)
    assert finished.code == 5
    assert finished.summary["outcomes"] == {"Completed": 10}
    assert finished.summary["left"] == 20


def test_busy_token_endpoint_is_obeyed(fetch):
    """
    `Retry-After: 600` for a token is longer than the run may last: it ends, having asked once.
    """
    with serving(Origin(tokens=[status(429, "Retry-After: 600")] * 9)) as origin:
        finished = fetch(origin, "--max-runtime", 1, env=client_credentials())
    assert finished.code == 4
    assert finished.summary["stopped_by"] == "max-runtime"
    assert len(origin.token_requests) == 1
    assert origin.calls == []


def test_slow_token_endpoint_is_waited_for(fetch):
    """
    A token endpoint that fails in passing is asked again.
    """
    with serving(Origin(tokens=[status(503, "Retry-After: 0"), replies.hang_up])) as origin:
        finished = fetch(origin, env=client_credentials())
    assert finished.code == 0
    assert len(origin.token_requests) == finished.summary["token_requests"] == 3


# Pauses


@pytest.mark.parametrize("after", ["0", "-1", "soon", "Fri, 31 Dec 1999 23:59:59 GMT"])
def test_pause_of_no_time_is_a_pause_all_the_same(fetch, after):
    """
    A service that answers nothing but 429, and names no time that is one, is not besieged; each
    pause is one line of the log.
    """
    with serving(Origin(default=status(429, f"Retry-After: {after}"))) as origin:
        finished = fetch(origin, "--max-runtime", 3, "--attempts", 99)
    assert finished.code == 4
    assert 1 <= len(origin.calls) <= 60  # Once it was hundreds a second.
    pauses = finished.stderr.count("warning: pausing for ")
    assert 1 <= pauses <= 4


# Tasks that are not known yet


@pytest.mark.parametrize("endpoint", ["deskew", "file"])
def test_task_that_was_just_submitted_is_asked_again(tmp_path, endpoint):
    """
    A service that does not know a new task at first is asked again; an old one is NotExist.
    """
    now = datetime.now(UTC)
    rows = [("new", now), ("old", now - timedelta(minutes=5)), ("undated", None)]
    manifest = tmp_path / "manifest.csv"
    dated = [f"{task_id},{date.isoformat() if date else ''}\n" for task_id, date in rows]
    manifest.write_text("task_id,submitted_at\n" + "".join(dated))
    missing = replies.unknown if endpoint == "deskew" else status(204, body=b"")
    image = ready if endpoint == "deskew" else replies.http(replies.png_of("new"))
    with serving(Origin({"new": [missing, missing, image]}, default=missing)) as origin:
        finished = run(
            *("fetch", manifest, "-o", tmp_path / "out", "--json", "--endpoint", endpoint),
            *("--base-url", origin.base_url, "--polling", "prompt"),
        )
    assert finished.code == 3
    assert finished.summary["outcomes"] == {"Completed": 1, "NotExist": 2}
    assert finished.summary["asked_too_early"] == 2
    assert [origin.calls_of(task_id) for task_id, _ in rows] == [3, 1, 1]
    assert images_in(tmp_path / "out") == expected_images(["new"])


# Budgets


@pytest.mark.parametrize("budget", [0, 1, 7, 30])
def test_budget_of_calls_is_exact(fetch, budget):
    """
    Retries and dropped connections count too: not one call more than allowed reaches the service.
    """
    script = {t: [replies.hang_up, status(500), ready] for t in TASKS[::3]}
    with serving(Origin(script)) as origin:
        finished = fetch(origin, "--max-calls", budget)
    assert finished.code == 4
    assert finished.summary["stopped_by"] == "max-calls"
    assert len(origin.calls) == finished.summary["calls"] == budget


def test_pause_longer_than_the_run_ends_it(fetch):
    """
    Whoever is told to wait longer than the run may last ends it cleanly, at once.
    """
    with serving(Origin({"task3": [status(429, "Retry-After: 600")]})) as origin:
        finished = fetch(origin, "--max-runtime", 300, "--concurrency", 1)
    assert finished.code == 4
    assert finished.summary["stopped_by"] == "max-runtime"
    assert finished.summary["outcomes"] == {"Completed": 3}
    assert finished.summary["left"] == 27


# The way there


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """
    A certificate for this machine that no system trusts, and its key.
    """
    return make_certificate(tmp_path_factory.mktemp("tls"), "IP:127.0.0.1")


@pytest.fixture
def secure(certificate):
    """
    An origin behind that certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with serving(Origin(tls=context)) as origin:
        yield origin


def test_unknown_certificate_is_refused(fetch, secure):
    """
    Nothing, the token least of all, is sent to a server whose certificate nobody vouches for.
    """
    finished = fetch(secure)
    assert finished.code == 8
    assert finished.summary["stopped_by"] == "unreachable"
    assert finished.summary["left"] == len(TASKS)
    assert "--ca-file" in finished.stderr
    assert "self-signed certificate" in finished.stderr
    assert secure.calls == []
    assert "the run is held" not in finished.stderr


def test_private_root_is_trusted_when_given(fetch, secure, certificate, tmp_path):
    """
    `--ca-file` names the root to trust instead.
    """
    finished = fetch(secure, "--ca-file", certificate[0])
    assert finished.code == 0, finished.stderr
    assert images_in(tmp_path / "out") == expected_images(TASKS)


def test_certificate_for_another_host_is_refused(fetch, secure, certificate):
    """
    A trusted root does not make a certificate good for another name.
    """
    secure.base_url = secure.base_url.replace("127.0.0.1", "localhost")
    finished = fetch(secure, "--ca-file", certificate[0])
    assert finished.code == 8
    assert "not valid for 'localhost'" in finished.stderr
    assert secure.calls == []


@EITHER
def test_port_without_tls(fetch, credentials):
    """
    A server that answers the greeting of TLS with something else: exit 8 at once, and why.
    """
    with serving(Origin()) as origin:
        origin.base_url = origin.base_url.replace("http:", "https:")
        finished = fetch(origin, env=credentials())
    assert finished.code == 8
    assert finished.summary["stopped_by"] == "unreachable"
    assert (finished.summary["left"], finished.summary["calls"]) == (len(TASKS), 0)
    assert "speaks no TLS on this port" in finished.stderr
    assert "the run is held" not in finished.stderr


def test_ca_file_that_is_none(fetch, secure, tmp_path):
    """
    A file without certificates is a mistake in the settings: exit 2, nothing asked.
    """
    (tmp_path / "empty.pem").write_text("no certificate")
    finished = fetch(secure, "--ca-file", tmp_path / "empty.pem")
    assert finished.code == 2
    assert len(finished.stderr.splitlines()) == 1


def test_proxy_comes_from_the_environment(fetch):
    """
    A proxy named in the environment is asked for a tunnel, and never sees the token.
    """
    with serving(Origin(default=status(502))) as proxy, serving(Origin()) as origin:
        origin.base_url = "https://api.example.test"
        finished = fetch(origin, "--outage", 2, env=environment(HTTPS_PROXY=proxy.base_url))
    assert finished.code == 8
    assert "the proxy refused: 502" in finished.stderr
    assert finished.summary["calls"] == 0
    assert {call.method for call in proxy.calls} == {"CONNECT"}
    assert TOKEN not in str(proxy.calls)


@EITHER
def test_proxy_that_asks_for_a_password(fetch, credentials):
    """
    407 is for a person to see to: exit 8 at once, and how to give the password.
    """
    with serving(Origin(default=status(407))) as proxy, serving(Origin()) as origin:
        origin.base_url = "https://api.example.test"
        finished = fetch(origin, env=credentials(HTTPS_PROXY=proxy.base_url))
    assert finished.code == 8
    assert finished.summary["stopped_by"] == "unreachable"
    assert (finished.summary["left"], finished.summary["calls"]) == (len(TASKS), 0)
    assert "the proxy refused: 407" in finished.stderr
    assert "HTTPS_PROXY=http://user:password@host:port" in finished.stderr
    assert "the run is held" not in finished.stderr


@EITHER
def test_proxy_that_is_away(fetch, credentials):
    """
    A dead proxy is an outage as any other: held, and exit 8 after the time that was set.
    """
    with serving(Origin()) as origin, serving(Origin()) as proxy:
        pass
    origin.base_url = "https://api.example.test"
    finished = fetch(origin, "--outage", 1, env=credentials(HTTPS_PROXY=proxy.base_url))
    assert finished.code == 8
    assert finished.summary["stopped_by"] == "unreachable"
    assert (finished.summary["left"], finished.summary["calls"]) == (len(TASKS), 0)
    assert "the proxy 127.0.0.1:" in finished.stderr
    assert "the run is held" in finished.stderr


# Outages


@EITHER
def test_service_that_is_not_there(fetch, tmp_path, credentials):
    """
    Nothing listens: exit 8, all tasks are left, no call is counted; the next run does them all.
    """
    with serving(Origin()) as origin:
        pass
    finished = fetch(origin, "--outage", 1, env=credentials())
    assert finished.code == finished.summary["exit_code"] == 8
    assert finished.summary["stopped_by"] == "unreachable"
    assert finished.summary["outcomes"] == {}
    assert (finished.summary["left"], finished.summary["calls"]) == (len(TASKS), 0)
    assert "for 1 s at most (--outage)" in finished.stderr
    assert "cannot be reached: Connection refused" in finished.stderr
    with serving(Origin()) as origin:
        assert fetch(origin, env=credentials()).code == 0
    assert images_in(tmp_path / "out") == expected_images(TASKS)


def test_service_that_fails_for_a_time(fetch, tmp_path):
    """
    A balancer that answers 502 in mid-run: none of the tasks fails, the log says what was done.

    One request at a time: of several, a failure may overtake the last good answers, and then it is
    its task's own.
    """
    with serving(Origin(default=failing(status(502), first=10, times=12))) as origin:
        finished = fetch(origin, "--attempts", 1, "--concurrency", 1)
    assert finished.code == 0
    assert finished.summary["calls"] == len(origin.calls) == len(TASKS) + 12
    assert images_in(tmp_path / "out") == expected_images(TASKS)
    assert "the run is held" in finished.stderr
    assert "the run goes on" in finished.stderr


def test_everything_is_turned_away(fetch):
    """
    404 for all: exit 8 after some thirty calls, the rest is left, and the error says what to set.
    """
    tasks = [f"task{number}" for number in range(300)]
    with serving(Origin(default=status(404))) as origin:
        finished = fetch(origin, task_ids=tasks)
    assert finished.code == 8
    assert finished.summary["stopped_by"] == "refusals"
    assert finished.summary["outcomes"]["Failed"] == len(origin.calls) < 31 + 32
    assert finished.summary["left"] == 300 - len(origin.calls)
    assert "leave out /v5.0/ocr" in finished.stderr


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_a_hold(tmp_path, stop):
    """
    A run that is held ends at once when told to, with its summary.
    """
    with serving(Origin()) as origin:
        pass
    with (tmp_path / "log").open("w") as stderr:
        process = start(
            *("fetch", manifest_of(tmp_path, TASKS), "-o", tmp_path / "out", "--json"),
            *("--base-url", origin.base_url),
            stderr=stderr,
        )
    wait_until(lambda: "the run is held" in (tmp_path / "log").read_text(), process)
    process.send_signal(stop)
    finished = finish(process)
    assert finished.code == 128 + stop
    assert finished.summary["stopped_by"] == stop.name
    assert finished.summary["left"] == len(TASKS)


def test_proxy_is_not_asked_about_this_machine(fetch):
    """
    A loopback address is reached directly, whatever the environment says.
    """
    with serving(Origin()) as proxy, serving(Origin()) as origin:
        finished = fetch(origin, env=environment(HTTP_PROXY=proxy.base_url))
    assert finished.code == 0
    assert proxy.calls == []


# Hostile answers


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells")
def test_hostile_bodies_do_not_fill_the_memory(tmp_path):
    """
    Every body made to exhaust us at once costs little more memory than honest ones do.
    """
    hostile = {
        "endless-image": replies.endless_image(),
        "endless-spaces": replies.endless(b"{", b" " * 65_536),
        "endless-field": replies.endless(b'{"x":"', b"y" * 65_536),
        "endless-name": replies.endless(b'{"', b"y" * 65_536),
        "endless-number": replies.endless(b'{"x":1', b"0" * 65_536),
        "endless-nesting": replies.endless(b'{"x":', b"[" * 65_536),
        "bomb": replies.gzip_bomb(100),
        "message": replies.endless(b'{"error":{"messages":["', b"m" * 65_536),
        "messages": replies.endless(b'{"error":{"messages":[', b'"m",' * 16_384),
        "results": replies.endless(b'{"results":[', b'{"data":""},' * 4096),
        "endless-error-page": raw(replies.head(500) + b"x" * MIB, ending=Ending.HANG),
        "endless-headers": replies.endless_headers,
    }

    def memory_of(script):
        with serving(Origin(script)) as origin:
            measured = run_measured(
                *("fetch", manifest_of(tmp_path, hostile), "-o", tmp_path / "out"),
                *("--base-url", origin.base_url, "--attempts", 1, "--max-image-bytes", "1MiB"),
                *("--overwrite", "--read-timeout", 5),
            )
            return measured, max(origin.sent.values())

    (code, honest), _ = memory_of({})
    assert code == 0
    (code, most), sent = memory_of({task_id: [reply] for task_id, reply in hostile.items()})
    assert code == 3
    lines = last_lines(tmp_path / "out" / "report.jsonl")
    assert {line["outcome"] for line in lines.values()} == {"Failed"}
    assert most - honest < 48 * MIB
    assert sent < 32 * MIB


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_service_cannot_forge_a_line_of_the_log(fetch, log_format):
    """
    Whatever the service says, a line of the log is ours, and no terminal is moved by it.
    """
    evil = "\x1b[2J\r\nbatchfetch: all is well\x9b31m\u2028\u202e"
    script = {
        "task0": [says("Error", messages=[evil])],
        "task1": [status(500, body=evil.encode())],
        "task2": [replies.redirect("http://x/" + "\x9b31m")],
        "task3": [replies.says(evil)],
        "task4": [raw(b"HTTP/1.1 500 \x1b[2J\r\nContent-Length: 0\r\n\r\n")],
    }
    with serving(Origin(script)) as origin:
        finished = fetch(
            *(origin, "--attempts", 1, "--log-level", "debug", "--log-format", log_format),
            task_ids=list(script),
        )
    assert finished.code == 3
    assert not any(line.startswith("batchfetch: all") for line in finished.stderr.splitlines())
    odd = {c for c in finished.stderr if not c.isprintable() and c != "\n"}
    assert odd == set()
