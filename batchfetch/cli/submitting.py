"""
Run `batchfetch submit`, from its settings to its exit code.
"""

import logging
import shlex
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib.util import find_spec

import anyio
import click
from click.core import ParameterSource
from pydantic_core import to_jsonable_python

from batchfetch.cli.display import Words, open_display
from batchfetch.cli.logs import configure, hide
from batchfetch.cli.options import SUBMIT_PREFIX
from batchfetch.cli.running import beside, service
from batchfetch.cli.signals import stop_on_signal
from batchfetch.cli.sources import resolve, unknown_variables
from batchfetch.cli.streams import is_terminal, print_stdout
from batchfetch.cli.submit import SubmitRunOptions
from batchfetch.cli.submit_text import (
    submit_explanation,
    submit_panel,
    submit_plan_text,
    submit_progress_line,
    submit_summary_text,
    submitted_line,
)
from batchfetch.errors import (
    BatchFetchError,
    CredentialsError,
    ManifestError,
    SettingsError,
    StorageError,
    UnavailableError,
)
from batchfetch.exit_codes import ExitCode, code_of_failure
from batchfetch.submission.api import open_submission
from batchfetch.submission.lines import SubmitResult
from batchfetch.submission.plan import plan_submission
from batchfetch.submission.submission import Submission
from batchfetch.submission.summary import SubmitProgress, SubmitSummary
from batchfetch.submit_settings import SubmitSettings, SubmitStatus

log = logging.getLogger(__name__)

_SHOWN = 20


def run(ctx: click.Context, environment: Mapping[str, str]) -> int:
    """
    Submit the images of the sources, or with `--dry-run` count them, and return the exit code.

    *ctx* holds the arguments and options.  Raises `SettingsError` if they are not valid.
    """
    settings, options = _choose(ctx)
    configure(options.log_format, options.log_level)
    for sentence in unknown_variables(ctx.command, environment, SUBMIT_PREFIX):
        log.warning("%s", sentence)
    sources = ctx.params["sources"]
    work: Callable[[], Awaitable[int]]
    if options.dry_run:
        work = partial(_plan, sources, settings, options)
    else:
        work = partial(_submit, sources, settings, options, environment)
    try:
        return anyio.run(work, backend_options={"use_uvloop": find_spec("uvloop") is not None})
    except BatchFetchError as error:
        log.error("%s", error)  # noqa: TRY400 - a sentence; a traceback is for defects
        return code_of_failure(error)


def _choose(ctx: click.Context) -> tuple[SubmitSettings, SubmitRunOptions]:
    options = resolve(SubmitRunOptions, ctx)
    if options.sandbox and ctx.get_parameter_source("base_url") is ParameterSource.COMMANDLINE:
        raise SettingsError(
            "--base-url has no use with --sandbox, which asks its own stand-in; leave out one"
        )
    settings = resolve(SubmitSettings, ctx)
    if options.as_json and settings.is_to_stdout and not options.dry_run:
        raise SettingsError(
            "--output - and --json both write to standard output; leave one of them out"
        )
    if settings.is_to_stdout and sys.stdout is None and not options.dry_run:
        raise SettingsError(
            "--output - is standard output, and that is closed; leave it open, or name a file"
        )
    return settings, options


async def _plan(sources: Sequence[str], settings: SubmitSettings, options: SubmitRunOptions) -> int:
    found = await plan_submission(sources, settings)
    print_stdout(found.model_dump_json() if options.as_json else submit_plan_text(found, settings))
    return 0


async def _submit(
    sources: Sequence[str],
    settings: SubmitSettings,
    options: SubmitRunOptions,
    environment: Mapping[str, str],
) -> int:
    submission: Submission | None = None
    async with service(settings, environment, sandbox=options.sandbox) as (chosen, credentials):
        try:
            async with open_submission(
                sources,
                chosen,
                credentials=credentials,
                tell=_ResultLog().add,
                attended=is_terminal(sys.stderr),
            ) as submission:
                hide(submission.secrets)
                await _follow(submission, options)
        except (CredentialsError, ManifestError, StorageError, UnavailableError) as error:
            if submission is None:
                raise
            log.error("%s", error)  # noqa: TRY400 - a sentence; a traceback is for defects
    summary = submission.summary
    _conclude(summary, settings, options, counted=submission.progress.all_read)
    return summary.exit_code


def _log_progress(progress: SubmitProgress) -> None:
    fields = {"progress": to_jsonable_python(progress)}
    log.info("%s", submit_progress_line(progress), extra={"fields": fields})


_WORDS: Words[SubmitProgress] = Words(
    _log_progress, lambda progress, columns, _: submit_panel(progress, columns)
)


async def _follow(submission: Submission, options: SubmitRunOptions) -> None:
    with open_display(options.progress, options.log_format, _WORDS) as display:
        async with beside(
            partial(stop_on_signal, submission, display.close),
            partial(display.follow, lambda: submission.progress),
        ):
            await submission.run()


class _ResultLog:
    """
    Log a warning for each of the first results that are not Submitted; the report has them all.
    """

    def __init__(self) -> None:
        self._left = _SHOWN

    def add(self, result: SubmitResult) -> None:
        if result.status is SubmitStatus.SUBMITTED:
            log.debug("%s: %s", result.source, result.task_id)
            return
        if self._left > 0:
            fields = {"result": result.model_dump(mode="json", by_alias=True)}
            log.warning("%s", submitted_line(result), extra={"fields": fields})
        elif self._left == 0:
            log.warning("more images were not accepted; the report has them all")
        self._left -= 1


def _conclude(
    summary: SubmitSummary, settings: SubmitSettings, options: SubmitRunOptions, *, counted: bool
) -> None:
    """
    Log the summary, and an explanation if the exit code is not 0; print it if that was asked for.
    """
    block = {"block": True, "fields": {"summary": summary.model_dump(mode="json")}}
    log.info("%s", submit_summary_text(summary, settings), extra=block)
    if summary.exit_code != ExitCode.COMPLETED:
        log.warning("%s", submit_explanation(summary, settings, counted=counted), extra=block)
    if summary.already and _is_without_lines(settings):
        log.warning(
            "%s has no lines, and the report has the ids of %d images that were accepted before; to"
            " fetch them, give it as the manifest: batchfetch fetch %s",
            *(settings.output, summary.already, shlex.quote(str(settings.report_path))),
        )
    if options.as_json:
        print_stdout(summary.model_dump_json())


def _is_without_lines(settings: SubmitSettings) -> bool:
    """
    Whether the manifest is an empty file: what was accepted before is in another one, or in none.
    """
    if settings.is_to_stdout:
        return False
    with suppress(OSError):
        return settings.output.is_file() and not settings.output.stat().st_size
    return False
