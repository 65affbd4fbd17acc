"""
Credentials appear nowhere: not in arguments, logs, report, summary, tracebacks or any `repr`.
"""

import subprocess
import traceback

import pytest
import replies
from command import (
    CLIENT_ID,
    SECRET,
    TOKEN,
    client_credentials,
    environment,
    manifest_of,
    run,
    start,
    wait_until,
)
from origin import Origin, serving
from replies import ready, status

from batchfetch import Credentials
from batchfetch.errors import SettingsError

GRANTED = "granted-token"
SECRETS = (TOKEN, SECRET, CLIENT_ID, GRANTED)
TASKS = [f"task{number}" for number in range(8)]
FAULTS = {
    "task0": [status(401), ready],
    "task1": [replies.reset_before_headers, ready],
    "task2": [replies.garbage_status_line, ready],
    "task3": [replies.redirect(f"http://127.0.0.1:9/?token={TOKEN}")],
    "task4": [status(403, body=b'{"detail":"no"}')],
    "task5": [replies.http(b"<html>", 200), ready],
    "task6": [replies.failed],
}


def everything_said(finished, folder):
    """
    Return all a run leaves where others may read it.
    """
    files = [p.read_bytes().decode("utf-8", "replace") for p in folder.rglob("*") if p.is_file()]
    return "\n".join([finished.stdout, finished.stderr, *files])


def assert_nothing_leaks(finished, folder):
    """
    None of our secrets is in what the run leaves.
    """
    said = everything_said(finished, folder)
    assert [secret for secret in SECRETS if secret in said] == []


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("credentials", ["token", "client"])
def test_debug_log_of_a_troubled_run_holds_no_secret(tmp_path, log_format, credentials):
    """
    Whatever goes wrong, and however much is logged, no secret is among it.
    """
    env = environment() if credentials == "token" else client_credentials()
    script = FAULTS if credentials == "client" else {**FAULTS, "task0": [ready]}
    with serving(Origin(script, tokens=[status(503, "Retry-After: 0")])) as origin:
        finished = run(
            *("fetch", manifest_of(tmp_path, TASKS), "-o", tmp_path / "out", "--json"),
            *("--base-url", origin.base_url, "--attempts", 2),
            *("--log-level", "debug", "--log-format", log_format),
            env=env,
        )
    assert finished.code == 3, finished.stderr
    assert "task1" in finished.stderr, "nothing was logged, so nothing is shown"
    assert_nothing_leaks(finished, tmp_path)


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        pytest.param(
            status(400, body=f'{{"detail":"{SECRET}"}}'.encode()), 5, id="400 that echoes"
        ),
        pytest.param(status(401), 5, id="401"),
        pytest.param(replies.http(f'{{"token":"{TOKEN}"}}'.encode(), 200), 5, id="no token in it"),
        pytest.param(replies.reset_before_headers, 8, id="reset"),
    ],
)
def test_refused_credentials_are_not_shown(tmp_path, refusal, code):
    """
    A failing token endpoint ends the run with a sentence that holds no secret.
    """
    with serving(Origin(tokens=[refusal] * 9)) as origin:
        finished = run(
            *("fetch", manifest_of(tmp_path, TASKS), "-o", tmp_path / "out", "--json"),
            *("--base-url", origin.base_url, "--outage", 1, "--log-level", "debug"),
            env=client_credentials(),
        )
    assert finished.code == code
    assert origin.calls == []
    assert_nothing_leaks(finished, tmp_path)


def test_refused_token_is_not_shown(tmp_path):
    """
    An access token that is refused is not repeated in the complaint about it.
    """
    with serving(Origin(default=status(401))) as origin:
        finished = run(
            *("fetch", manifest_of(tmp_path, TASKS), "-o", tmp_path / "out", "--json"),
            *("--base-url", origin.base_url, "--log-level", "debug"),
        )
    assert finished.code == 5
    assert_nothing_leaks(finished, tmp_path)


def test_arguments_of_the_process_hold_no_secret(tmp_path):
    """
    Whoever lists the processes of the machine sees none either.
    """
    with serving(Origin(default=replies.silence)) as origin:
        process = start(
            *("fetch", manifest_of(tmp_path, TASKS), "-o", tmp_path / "out"),
            *("--base-url", origin.base_url),
        )
        wait_until(lambda: origin.calls, process)
        words = ["ps", "-o", "args=", "-p", str(process.pid)]
        listed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        process.kill()
        process.communicate()
    assert "batchfetch" in listed
    assert [secret for secret in SECRETS if secret in listed] == []


@pytest.mark.parametrize("option", ["--client-secret", "--access-token", "--token"])
def test_secrets_are_no_options(tmp_path, option):
    """
    A secret given as an argument is refused, and not repeated.
    """
    finished = run("fetch", manifest_of(tmp_path, TASKS), option, SECRET)
    assert finished.code == 2
    assert SECRET not in finished.stderr


def test_error_about_credentials_does_not_repeat_them():
    """
    Nothing of what was given is in the error about it, nor in its traceback.
    """
    with pytest.raises(SettingsError) as caught:
        Credentials(client_id=CLIENT_ID, client_secret=f"{SECRET} with a blank")
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert [secret for secret in SECRETS if secret in shown] == []


def test_repr_of_credentials_masks_them():
    """
    Neither `repr`, `str` nor a dump of credentials shows what they are.
    """
    credentials = Credentials(client_id=CLIENT_ID, client_secret=SECRET, access_token=TOKEN)
    shown = f"{credentials!r} {credentials} {credentials.model_dump()} {vars(credentials)}"
    shown += credentials.model_dump_json()
    assert [secret for secret in SECRETS if secret in shown] == []


def test_secret_files_are_read_and_not_shown(tmp_path):
    """
    A secret may come from a file; neither it nor its complaints show what is in it.
    """
    held = tmp_path / "held"
    held.mkdir()
    (held / "token").write_text(f"{TOKEN}\n")
    env = {k: v for k, v in environment().items() if k != "BATCHFETCH_ACCESS_TOKEN"}
    with serving(Origin()) as origin:
        finished = run(
            *("fetch", manifest_of(tmp_path, TASKS), "-o", tmp_path / "out", "--json"),
            *("--base-url", origin.base_url, "--log-level", "debug"),
            env={**env, "BATCHFETCH_ACCESS_TOKEN_FILE": str(held / "token")},
        )
    assert finished.code == 0, finished.stderr
    assert {call.headers["authorization"] for call in origin.calls} == {f"Bearer {TOKEN}"}
    assert_nothing_leaks(finished, tmp_path / "out")


def test_secret_file_that_is_none_ends_the_run(tmp_path):
    """
    A secret file that cannot be one is one sentence, exit 2, and nothing is asked.
    """
    (tmp_path / "empty").write_bytes(b"\xef\xbb\xbf\r\n")
    env = client_credentials(BATCHFETCH_CLIENT_SECRET_FILE=str(tmp_path / "empty"))
    del env["BATCHFETCH_CLIENT_SECRET"]
    with serving(Origin()) as origin:
        finished = run(
            *("fetch", manifest_of(tmp_path, TASKS), "-o", tmp_path / "out"),
            *("--base-url", origin.base_url),
            env=env,
        )
    assert finished.code == 2
    (line,) = finished.stderr.splitlines()
    assert f"BATCHFETCH_CLIENT_SECRET_FILE: {tmp_path}/empty holds nothing" in line
    assert (origin.calls, origin.token_requests) == ([], [])


def test_quoted_secret_is_warned_of(tmp_path):
    """
    A value in quotes is sent as it is, with a warning that names the variable.
    """
    with serving(Origin()) as origin:
        finished = run(
            *("fetch", manifest_of(tmp_path, TASKS), "-o", tmp_path / "out"),
            *("--base-url", origin.base_url),
            env=environment(BATCHFETCH_ACCESS_TOKEN=f'"{TOKEN}"'),
        )
    assert finished.code == 0
    assert finished.stderr.count("BATCHFETCH_ACCESS_TOKEN begins and ends with a quote") == 1
    assert {call.headers["authorization"] for call in origin.calls} == {f'Bearer "{TOKEN}"'}
    assert_nothing_leaks(finished, tmp_path / "out")
