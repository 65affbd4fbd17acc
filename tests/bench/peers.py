"""
Who is compared: each peer as a command line.
"""

import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from corpus import Corpus
from origin import FILE_PATH
from tools import Tools

_SCRIPTS = Path(__file__).with_name("scripts")
_AUTHORIZATION = "Authorization: Bearer x"


@dataclass(frozen=True, slots=True)
class Assignment:
    """
    What a peer is asked to do: fetch every task of *corpus*, each to *output*`/ID.png`.
    """

    corpus: Corpus
    base_url: str
    output: Path
    concurrency: int
    scratch: Path
    """A folder for what a peer wants to read besides."""

    ca_file: Path | None = None
    """The root certificate to trust; None is plain HTTP."""

    in_store: bool = False
    """Whether *output* is a prefix of a store: below a folder for the bucket, in the store's."""

    store: str | None = None
    """The store's address, while it is served."""


Command = Callable[[Assignment, Tools], list[str]]


@dataclass(frozen=True, slots=True)
class Peer:
    """
    One way of doing the work.
    """

    key: str
    """Its name on the command line."""

    title: str
    """Its name in the table."""

    needs: tuple[str, ...]
    """Programs and Python packages."""

    command: Command


def bare_writes(task: Assignment, tools: Tools) -> list[str]:
    """
    No network at all.
    """
    script = str(_SCRIPTS / "bare_writes.py")
    images = str(task.corpus.image(""))
    return [tools.python, "-I", "-S", script, images, str(task.corpus.ids_file), str(task.output)]


def curl(task: Assignment, tools: Tools) -> list[str]:
    """
    The bare images with `curl -Z`.
    """
    config = task.scratch / "curl.conf"
    config.write_text(
        "".join(
            f'url = "{_file_url(task, task_id)}"\noutput = "{task.output}/{task_id}.png"\n'
            for task_id in task.corpus.task_ids
        )
    )
    command = [tools.programs["curl"], "-Z", "--parallel-max", str(task.concurrency)]
    command += ["--silent", "--show-error", "--fail", "-H", _AUTHORIZATION, "-K", str(config)]
    return [*command, "--cacert", str(task.ca_file)] if task.ca_file else command


def aria2(task: Assignment, tools: Tools) -> list[str]:
    """
    The bare images with aria2c, without reserving their space: that would write them twice.
    """
    listing = task.scratch / "aria2.txt"
    listing.write_text(
        "".join(
            f"{_file_url(task, task_id)}\n  out={task_id}.png\n" for task_id in task.corpus.task_ids
        )
    )
    command = [tools.programs["aria2c"], "--no-conf", "--quiet", f"-j{task.concurrency}", "-x1"]
    command += ["--file-allocation=none", f"--header={_AUTHORIZATION}"]
    command += [f"--dir={task.output}", f"--input-file={listing}"]
    return [*command, f"--ca-certificate={task.ca_file}"] if task.ca_file else command


def script(name: str) -> Command:
    """
    Return the command of a script of ours: address, ids, folder, how many at once.
    """

    def command(task: Assignment, tools: Tools) -> list[str]:
        path = str(_SCRIPTS / name)
        ids, output = str(task.corpus.ids_file), str(task.output)
        return [tools.python, path, task.base_url, ids, output, str(task.concurrency)]

    return command


def batchfetch_on_asyncio(task: Assignment, tools: Tools) -> list[str]:
    """
    batchfetch on the standard library's event loop, though there is a faster one.
    """
    path = str(_SCRIPTS / "without_uvloop.py")
    return batchfetch(program=(tools.python, path))(task, tools)


def batchfetch(*options: str, program: tuple[str, ...] = ()) -> Command:
    """
    Return the command of batchfetch itself with *options*; nobody else syncs, so neither does it.

    *program* is another batchfetch than the one that was found.
    """

    def command(task: Assignment, tools: Tools) -> list[str]:
        line = [*(program or tools.batchfetch), "fetch", str(task.corpus.ids_file)]
        line += ["--base-url", task.base_url, "--output", str(task.output)]
        line += ["--concurrency", str(task.concurrency), "--durability", "none", *options]
        return [*line, "--ca-file", str(task.ca_file)] if task.ca_file else line

    return command


def rclone_copy(task: Assignment, tools: Tools) -> list[str]:
    """
    The bare images, which are here already, with `rclone copy`.
    """
    command = [tools.programs["rclone"], "copy", str(named_images(task)), f":s3:{_in_bucket(task)}"]
    command += ["--config=", "--s3-provider=Other", "--s3-env-auth", f"--s3-endpoint={task.store}"]
    return [*command, "--s3-force-path-style", f"--transfers={task.concurrency}"]


def s5cmd_copy(task: Assignment, tools: Tools) -> list[str]:
    """
    The same with `s5cmd cp`.
    """
    command = [tools.programs["s5cmd"], "--endpoint-url", str(task.store)]
    command += ["--numworkers", str(task.concurrency), "--log", "error"]
    return [*command, "cp", f"{named_images(task)}/*", f"s3://{_in_bucket(task)}/"]


def batchfetch_to_store(task: Assignment, tools: Tools) -> list[str]:
    """
    batchfetch into the store.
    """
    line = [*tools.batchfetch, "fetch", str(task.corpus.ids_file), "--base-url", task.base_url]
    line += ["--output", f"s3://{_in_bucket(task)}", "--report", f"{task.scratch}/report.jsonl"]
    return [*line, "--concurrency", str(task.concurrency)]


def named_images(task: Assignment) -> Path:
    """
    Return a folder with the bare images under the names that they are to have.
    """
    folder = task.scratch / "named"
    folder.mkdir()
    for task_id in task.corpus.task_ids:
        (folder / f"{task_id}.png").hardlink_to(task.corpus.image(task_id))
    return folder


def _in_bucket(task: Assignment) -> str:
    return f"{task.output.parent.name}/{task.output.name}"


STORE_PEERS = (
    Peer("rclone", "`rclone copy`, the files are here", ("rclone",), rclone_copy),
    Peer("s5cmd", "`s5cmd cp`, the files are here", ("rclone", "s5cmd"), s5cmd_copy),
    Peer("batchfetch", "**batchfetch**", ("rclone", "obstore"), batchfetch_to_store),
)
"""Who is compared where the output is a store."""

PEERS = (
    Peer("writes", "bare writes of the same bytes", (), bare_writes),
    Peer("curl", "`curl -Z` GetResultFile", ("curl",), curl),
    Peer("aria2", "`aria2c` GetResultFile", ("aria2c",), aria2),
    Peer("parfive", "parfive GetResultFile", ("parfive",), script("parfive_files.py")),
    Peer(
        "sdk",
        "vendor's SDK in threads, GetResultTask",
        ("aspose-ocr-cloud",),
        script("sdk_pool.py"),
    ),
    Peer(
        "aiohttp",
        "plain aiohttp, GetResultTask",
        ("aiohttp", "aiofiles"),
        script("plain_aiohttp.py"),
    ),
    Peer("none", "**batchfetch** `--checksum none`", (), batchfetch("--checksum", "none")),
    Peer("asyncio", "**batchfetch** without uvloop", ("uvloop",), batchfetch_on_asyncio),
    Peer("batchfetch", "**batchfetch**", (), batchfetch()),
)
REFERENCE = "curl"
"""The peer all walls are relative to."""

ALTERNATIVE = "sdk"
"""What most users would run instead: batchfetch's walls are given relative to it, too."""


def variant(definition: str) -> Peer:
    """
    Return batchfetch with other options: `NAME=--option value …`.

    Raises `ValueError` if there is no name.
    """
    name, options = _named(definition)
    return Peer(name, f"batchfetch: {name}", (), batchfetch(*options))


def rival(definition: str) -> Peer:
    """
    Return another batchfetch, an older checkout say: `NAME=COMMAND …`.

    Raises `ValueError` if there is no name.
    """
    name, program = _named(definition)
    # Else it would import the working tree, where the benchmark's own command is looked for.
    isolated = ("env", "-u", "PYTHONPATH", *program)
    return Peer(name, f"batchfetch: {name}", (), batchfetch(program=isolated))


def chosen(peers: Iterable[Peer], keys: Iterable[str]) -> list[Peer]:
    """
    Return the peers of these *keys* in their usual order.

    Raises `ValueError` for a key nobody has.
    """
    by_key = {peer.key: peer for peer in peers}
    wanted = set(keys)
    if unknown := wanted - by_key.keys():
        raise ValueError(f"no such peer: {', '.join(sorted(unknown))}")
    return [peer for key, peer in by_key.items() if key in wanted]


def _file_url(task: Assignment, task_id: str) -> str:
    return f"{task.base_url}{FILE_PATH}?id={task_id}"


def _named(definition: str) -> tuple[str, list[str]]:
    name, equals, words = definition.partition("=")
    if not name or not equals:
        raise ValueError(f"{definition!r} is not NAME=WORDS")
    return name, shlex.split(words)
