"""
Show what `batchfetch report` says of the report of a submission.
"""

import json
import shlex
from collections.abc import Iterator, Sequence

from batchfetch.cli.format import money, number, size
from batchfetch.cli.report import ReportOptions
from batchfetch.cli.streams import print_stdout, print_text
from batchfetch.errors import SettingsError
from batchfetch.report.digest import Source
from batchfetch.submission.figures import SubmitFigures, submit_figures
from batchfetch.submit_settings import SubmitStatus
from batchfetch.text import sanitize

# The most lines; `--json` has the rest.
_TROUBLES = 20


def show_submissions(sources: Sequence[Source], options: ReportOptions) -> int:
    """
    Print the figures of *sources*, all of which are reports of submissions; return the exit code.

    Raises `SettingsError` for options that are about tasks, `ReportError` if one cannot be read.
    """
    _require_no_tasks(sources[0], options)
    price = options.price_per_call
    figures = submit_figures([source.path for source in sources], price_per_call=price)
    if options.as_json:
        print_stdout(json.dumps(figures.model_dump(mode="json")))
    else:
        print_text("\n".join(sanitize(line) for line in _lines(figures, price)))
    return 0


def _require_no_tasks(source: Source, options: ReportOptions) -> None:
    given = {
        "--output": options.output is not None,
        "--only": options.only is not None,
        "--group-by": options.group_by is not None,
        "--all": options.every_line,
    }
    for option, is_given in given.items():
        if is_given:
            raise SettingsError(
                f"{option}: {source.name} is a report of submit, and this is for reports of fetch;"
                " leave it out"
            )


def _lines(figures: SubmitFigures, price: float | None) -> Iterator[str]:
    yield f"{number(figures.images, 'image')} submitted or refused, in {', '.join(figures.reports)}"
    yield ""
    accepted = figures.outcomes.get(SubmitStatus.SUBMITTED, 0)
    found = [(accepted, SubmitStatus.SUBMITTED.value, "", "")] if accepted else []
    found += [
        (trouble.images, trouble.outcome.value, trouble.reason or "", trouble.example or "")
        for trouble in figures.troubles[:_TROUBLES]
    ]
    width = max((len(f"{count}") for count, *_ in found), default=0)
    for count, outcome, reason, example in found:
        yield f"  {count:{width}} {outcome:9}  {reason:11}  {example}".rstrip()
    if (more := len(figures.troubles) - _TROUBLES) > 0:
        yield f"  and {number(more, 'other reason')}: --json has them all"
    if figures.in_flight:
        yield f"  {figures.in_flight} sent without a result: the run goes on, or was killed"
    yield ""
    yield f"Images  {size(figures.bytes)} accepted"
    cost = "" if price is None else f", {money(figures.calls, price)}"
    yield f"Calls   {figures.calls}{cost}"
    yield from _next(figures)


def _next(figures: SubmitFigures) -> Iterator[str]:
    manifests = [path for path in figures.manifests if path != "-"]
    if manifests and figures.outcomes.get(SubmitStatus.SUBMITTED):
        yield ""
        yield "Fetch the results:"
        yield f"  {shlex.join(['batchfetch', 'fetch', *manifests])}"
    if figures.outcomes.get(SubmitStatus.UNCERTAIN):
        yield ""
        yield "Uncertain may have been accepted and paid for; to submit these again all the same,"
        yield "run the same submit command with --retry Uncertain"
