"""
The commands that a report suggests: ask again, submit again, correct rows, look at each.
"""

import shlex
from collections.abc import Collection, Iterator, Sequence
from urllib.parse import urlsplit

from batchfetch.cli.format import number
from batchfetch.models import OutcomeStatus
from batchfetch.report.digest import Source
from batchfetch.report.figures import Figures, RunFigures, Trouble
from batchfetch.setting_values import is_loopback

# Outcomes that a run tries again unless it is told otherwise.
_RETRIED = (OutcomeStatus.TIMED_OUT, OutcomeStatus.FAILED)

# What decides which tasks are asked about, and where: without it the command would do something
# else.  All further options are a person's to give.
_WHERE = {
    "-o": "output",
    "-r": "report",
    "--base-url": "base_url",
    "--ca-file": "ca_file",
    "--endpoint": "endpoint",
    "--id-column": "id_column",
    "--name-column": "name_column",
}


def next_steps(
    figures: Figures, sources: Sequence[Source], commands: Collection[str], columns: Collection[str]
) -> Iterator[tuple[str, str]]:
    """
    Yield why something should be done, and the command that does it.

    *commands* are those that there are, *columns* those of the manifests.
    """
    paths = _paths(sources)
    if len({source.given for source in sources}) == 1:
        yield from _fetches(figures, sources)
    if any(map(_is_lost, figures.troubles)):
        yield _resubmission(figures, sources, commands, columns)
    if invalid := figures.outcomes.get(OutcomeStatus.INVALID):
        yield f"List {number(invalid, 'row')} to be corrected", f"{_REPORT} {paths} --only Invalid"


_REPORT = "batchfetch report"


def see_page(sources: Sequence[Source]) -> tuple[str, str]:
    """
    Return the command for the page.
    """
    return "See it all on a page", f"{_REPORT} {_paths(sources)} -o report.html"


def _paths(sources: Sequence[Source]) -> str:
    return shlex.join(dict.fromkeys(source.given for source in sources))


def _fetches(figures: Figures, sources: Sequence[Source]) -> Iterator[tuple[str, str]]:
    command = _fetch_command(figures.runs[-1] if figures.runs else None, sources)
    again = {status: n for status in _RETRIED if (n := figures.outcomes.get(status))}
    left = _left(figures)
    if again or left:
        parts = [*(f"{count} {status}" for status, count in again.items())]
        parts += [f"{left} left"] if left else []
        yield f"Ask again about {' and '.join(parts)}, with limits as before", command
    unknown = sum(each.tasks for each in figures.troubles if each.reason == "not_found")
    if unknown:
        yield (
            f"Ask again about {unknown} not_found, if ids and account are right",
            f"{command} --retry NotExist",
        )


def _left(figures: Figures) -> int:
    """
    Return how many tasks the last run has left, in all of its shards.
    """
    runs = [run for run in figures.runs if _shards(run) == _shards(figures.runs[-1])]
    last = {str(run.settings.get("shard")): run for run in runs}
    return sum(run.left or 0 for run in last.values())


def _shards(run: RunFigures) -> str:
    return str(run.settings.get("shard", "")).partition("/")[2]


def _fetch_command(run: RunFigures | None, sources: Sequence[Source]) -> str:
    """
    Return the command that goes on with *run*, the last one of *sources*, which are shards of one
    run if they are several: then it is one without shards.
    """
    source = sources[0]
    if run is None or not run.manifests or "-" in run.manifests:
        # Reports are manifests.
        words = [*(str(each.path) for each in sources), "-o", str(source.path.parent)]
        if len(sources) == 1 and source.path.name != "report.jsonl":
            words += ["-r", str(source.path)]
        return shlex.join(["batchfetch", "fetch", *words])
    words = list(run.manifests)
    for option, key in _WHERE.items():
        value = run.settings.get(key)
        if value is not None and not (key == "base_url" and _is_here(str(value))):
            words += [option, str(value)]
    if len(sources) == 1 and "shard" in run.settings:
        words += ["--shard", str(run.settings["shard"])]
    return shlex.join(["batchfetch", "fetch", *words])


def _is_here(base_url: str) -> bool:
    """
    Whether the service was on this machine: most likely a stand-in, which has ended.
    """
    return is_loopback(urlsplit(base_url).hostname or "")


def _is_lost(trouble: Trouble) -> bool:
    """
    Whether no more calls will bring the image: it has to be submitted again, and was not.
    """
    if trouble.tasks == trouble.resubmitted:
        return False
    if trouble.outcome is OutcomeStatus.NOT_EXIST:
        return trouble.reason != "not_found"
    return trouble.outcome is OutcomeStatus.ERROR


def _resubmission(
    figures: Figures,
    sources: Sequence[Source],
    commands: Collection[str],
    columns: Collection[str],
) -> tuple[str, str]:
    lost = [trouble for trouble in figures.troubles if _is_lost(trouble)]
    outcomes = sorted({trouble.outcome.value for trouble in lost})
    only = f"--only {','.join(outcomes)}"
    if "submit" in commands and "source" in columns:
        # An output folder would be searched for images.
        reports = shlex.join(source.name for source in sources)
        command = f"batchfetch submit {reports} {only} -o again.jsonl"
        return f"Submit again what is {' or '.join(outcomes)}", command
    tasks = number(sum(trouble.tasks - trouble.resubmitted for trouble in lost), "task")
    return (
        f"List {' and '.join(outcomes)}, with {tasks} to be submitted again",
        f"{_REPORT} {_paths(sources)} {only}",
    )
