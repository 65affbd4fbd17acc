"""
Whole runs against a service that treats its connections badly: what it costs in calls and memory.

The origin is raw and real, on plain sockets and with TLS; what asks runs on both event loops.
"""

import os
import signal
import ssl
import time
from math import inf
from pathlib import Path

import pytest
from certificates import make_certificate
from command import finish, images_in, manifest_of, run_measured, start, wait_until
from origin import Origin, serving
from replies import Ending, body_of, head, large, png_of, raw

from batchfetch import Credentials, Durability, OutcomeStatus, Settings, open_batch

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
    A certificate for this machine, and its key.
    """
    return make_certificate(tmp_path_factory.mktemp("tls"), "IP:127.0.0.1")


@pytest.fixture(params=["plain", "tls"])
def serve(request, certificate):
    """
    Serve an origin from a thread of its own, on plain sockets or with TLS.
    """

    def serve(**options):
        if request.param == "tls":
            options["tls"] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            options["tls"].load_cert_chain(*certificate)
        return serving(Origin(**options))

    return serve


@pytest.fixture
def fetch(tmp_path, certificate):
    """
    Fetch *tasks* from *origin*: the run's summary, and the outcomes by task.
    """

    async def fetch(origin, tasks, **settings):
        usual = {
            "output": tmp_path / "out",
            "base_url": origin.base_url,
            "durability": Durability.NONE,
            "ca_file": certificate[0] if origin.tls else None,
        }
        outcomes = {}
        async with open_batch(
            tasks,
            Settings(**usual | settings),
            credentials=Credentials(access_token="a-token"),
        ) as batch:
            async for outcome in batch:
                outcomes[outcome.task_id] = outcome
        return batch.summary, outcomes

    return fetch


def ids(count):
    """
    Return so many task ids.
    """
    return [f"t{number}" for number in range(count)]


@pytest.mark.anyio
@pytest.mark.parametrize("every", [1, 3])
async def test_connection_closed_behind_its_answer_costs_nearly_no_call(serve, fetch, every):
    """
    A FIN right behind every (third) answer fails no task, and the calls counted were seen.
    """
    with serve(closes_every=every) as origin:
        summary, outcomes = await fetch(origin, ids(300))
        seen = len(origin.calls)
    assert summary.outcomes == {OutcomeStatus.COMPLETED: 300}
    assert summary.calls == sum(outcome.calls for outcome in outcomes.values())
    assert seen <= summary.calls <= seen * 1.05


@pytest.mark.anyio
@pytest.mark.parametrize("every", [1, 3])
async def test_connection_closed_behind_its_answer_costs_no_budget(serve, fetch, every):
    """
    Of sixty calls that are allowed, nearly all bring an image.
    """
    with serve(closes_every=every) as origin:
        summary, _ = await fetch(origin, ids(300), max_calls=60)
        assert len(origin.calls) <= summary.calls <= 60
    assert summary.stopped_by == "max-calls"
    assert summary.outcomes[OutcomeStatus.COMPLETED] >= 56


@pytest.mark.anyio
@pytest.mark.parametrize("concurrency", [1, 8])
async def test_answers_about_other_tasks_end_with_their_connection(serve, fetch, concurrency):
    """
    A connection that answers about another task is left; no task fails of it.
    """
    with serve(misled=1) as origin:
        summary, outcomes = await fetch(origin, ids(100), concurrency=concurrency)
        assert summary.calls == len(origin.calls)
    assert summary.outcomes == {OutcomeStatus.COMPLETED: 100}
    assert sum(outcome.calls == 2 for outcome in outcomes.values()) == summary.calls - 100 == 1


@pytest.mark.anyio
async def test_connection_out_of_step_by_one_answer(serve, fetch, tmp_path):
    """
    An answer too many, which comes late, is taken for no other task's.
    """
    twice = body_of(png_of("t0"), "t0")
    late = raw(head(length=len(twice)) + twice, head(length=len(twice)) + twice, interval=0.02)
    with serve(script={"t0": [late]}) as origin:
        summary, _ = await fetch(origin, ids(20), concurrency=1, rate=20.0)
    assert summary.outcomes == {OutcomeStatus.COMPLETED: 20}
    assert summary.calls <= 21
    assert images_in(tmp_path / "out") == {task_id: png_of(task_id) for task_id in ids(20)}


@pytest.mark.anyio
@pytest.mark.parametrize("blanks", [b"\r\n", b"\r\n\r\n"])
async def test_line_ends_behind_an_answer_cost_nothing(serve, fetch, blanks):
    """
    Blank lines behind whole answers cost no call and no task.
    """

    def answer(task_id):
        body = body_of(png_of(task_id), task_id)
        return raw(head(length=len(body)) + body + blanks)

    with serve(default=answer) as origin:
        summary, _ = await fetch(origin, ids(30))
        assert summary.calls == len(origin.calls) == 30
    assert summary.outcomes == {OutcomeStatus.COMPLETED: 30}


@pytest.mark.anyio
async def test_more_bytes_behind_an_answer_cost_its_connection(serve, fetch, tmp_path):
    """
    Bytes that follow a whole answer later, and are not HTTP, end its connection and nothing else.
    """
    report = tmp_path / "out" / "report.jsonl"

    def one_by_one(origin):
        for number, task_id in enumerate(ids(10), 1):
            yield task_id
            wait_until(lambda: report.read_bytes().count(b"\n") == number)  # noqa: B023 - at once
            origin.say(b"and one thing more")  # It is read before the next job is asked about.

    with serve() as origin:
        summary, _ = await fetch(origin, one_by_one(origin))
        assert summary.calls == len(origin.calls) == 10
        assert {call.connection for call in origin.calls} == set(range(1, 11))
    assert summary.outcomes == {OutcomeStatus.COMPLETED: 10}


@pytest.mark.anyio
@pytest.mark.parametrize(
    "headers",
    [["X-Long: " + "x" * 60_000], [f"X-{number}: y" for number in range(200)]],
    ids=["one of 60 kB", "200 of them"],
)
async def test_heads_of_any_reasonable_size_are_read(serve, fetch, headers):
    """
    A long header, or many, is no fault.
    """
    body = body_of(png_of("t0"), "t0")
    with serve(default=raw(head(200, *headers, length=len(body)) + body)) as origin:
        summary, _ = await fetch(origin, ["t0"])
    assert (summary.outcomes, summary.calls) == ({OutcomeStatus.COMPLETED: 1}, 1)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "headers",
    [["X-Long: " + "x" * 500_000], [f"X-{number}: y" for number in range(5000)]],
    ids=["one of 500 kB", "5000 of them"],
)
async def test_heads_beyond_reason_are_refused_in_our_words(serve, fetch, headers):
    """
    They are an answer that is no HTTP, and never shown as a status of the service.
    """
    with serve(default=raw(head(200, *headers, length=0), ending=Ending.CLOSE)) as origin:
        _, outcomes = await fetch(origin, ["t0"], attempts=1)
    outcome = outcomes["t0"]
    assert (outcome.status, outcome.reason) == (OutcomeStatus.FAILED, "connection")
    assert outcome.detail.startswith("the answer is not valid HTTP: ")
    assert "400" not in outcome.detail


def closing_with(padding, version):
    """
    Completed with a large image, on a connection that ends with it.
    """

    def answer(task_id):
        body = body_of(png_of(task_id, padding), task_id)
        begin = head(200, "Connection: close", length=len(body))
        return raw(begin.replace(b"HTTP/1.1", version), body, ending=Ending.CLOSE)

    return answer


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells")
@pytest.mark.parametrize(
    ("answer", "tasks", "limit"),
    [
        (closing_with(5_000_000, b"HTTP/1.1"), 64, 200),
        (closing_with(5_000_000, b"HTTP/1.0"), 64, 200),
        (large(3_600_000), 32, 100),
    ],
    ids=["Connection: close", "HTTP/1.0", "kept alive"],
)
def test_memory_of_many_large_answers_at_once(serve, certificate, tmp_path, answer, tasks, limit):
    """
    Answers of 7 MB on connections that end with them, 32 at once, within 200 MiB; kept, within 100.
    """
    with serve(default=answer) as origin:
        code, memory = run_measured(
            *("fetch", manifest_of(tmp_path, ids(tasks)), "-o", tmp_path / "out"),
            *("--base-url", origin.base_url, "--concurrency", 32, "--durability", "none"),
            *(["--ca-file", certificate[0]] if origin.tls else []),
        )
        assert len(origin.calls) == tasks
    assert code == 0
    assert memory < limit * MIB


@pytest.mark.slow
def test_answer_that_came_while_the_process_was_stopped_is_read(serve, certificate, tmp_path):
    """
    However long the process is stopped, what arrived meanwhile is not thrown away.
    """
    body = body_of(png_of("t0"), "t0")
    with serve(default=raw(head(length=len(body)) + body)) as origin:
        origin.answers = 0
        process = start(
            *("fetch", manifest_of(tmp_path, ["t0"]), "-o", tmp_path / "out", "--json"),
            *("--base-url", origin.base_url, "--log-level", "error"),
            *("--connect-timeout", "0.5s", "--read-timeout", "0.5s", "--attempts", 1),
            *(["--ca-file", certificate[0]] if origin.tls else []),
        )
        wait_until(lambda: origin.calls, process)
        os.kill(process.pid, signal.SIGSTOP)
        origin.answers = inf
        wait_until(lambda: origin.sent["t0"] and origin.has_arrived)
        time.sleep(3)  # Three times what an answer may take.
        os.kill(process.pid, signal.SIGCONT)
        finished = finish(process)
    assert finished.summary["outcomes"] == {"Completed": 1}
    assert finished.summary["calls"] == 1
