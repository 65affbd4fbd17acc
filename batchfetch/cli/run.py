"""
Run `batchfetch fetch`, from its settings to its exit code.
"""

import logging
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from importlib.util import find_spec

import anyio
import click
from click.core import ParameterSource

from batchfetch.cli.display import FETCH_WORDS, OutcomeLog, open_display
from batchfetch.cli.explanation import explanation
from batchfetch.cli.format import plan_text, summary_text
from batchfetch.cli.logs import configure, hide
from batchfetch.cli.metrics import MetricsFile
from batchfetch.cli.options import (
    PREFIX,
    REPORT_PREFIX,
    SANDBOX_PREFIX,
    SUBMIT_PREFIX,
    RunOptions,
)
from batchfetch.cli.running import beside, service
from batchfetch.cli.signals import stop_on_signal
from batchfetch.cli.sources import resolve, unknown_variables
from batchfetch.cli.streams import is_terminal, print_stdout
from batchfetch.errors import (
    BatchFetchError,
    CredentialsError,
    ManifestError,
    SettingsError,
    StorageError,
    UnavailableError,
)
from batchfetch.exit_codes import ExitCode, code_of_failure
from batchfetch.manifest import Manifest, ManifestFormat
from batchfetch.run.api import open_batch
from batchfetch.run.batch import Batch
from batchfetch.run.fetcher import Fetcher, Wiring
from batchfetch.run.summary import Summary
from batchfetch.service import credentials
from batchfetch.settings import Settings

log = logging.getLogger(__name__)


def run(ctx: click.Context, environment: Mapping[str, str]) -> int:
    """
    Fetch the tasks of the manifests, or with `--dry-run` estimate them, and return the exit code.

    *ctx* holds the arguments and options.  Raises `SettingsError` if they are not valid.
    """
    settings, options = choose(ctx)
    configure(options.log_format, options.log_level)
    for sentence in misspelt_variables(ctx.command, environment):
        log.warning("%s", sentence)
    form = ManifestFormat(options.manifest_format) if options.manifest_format else None
    manifest = Manifest(*ctx.params["manifests"], manifest_format=form)
    work: Callable[[], Awaitable[int]]
    if options.dry_run:
        work = partial(_plan, manifest, settings, options)
    else:
        work = partial(_fetch, manifest, settings, options, environment)
    try:
        return anyio.run(work, backend_options={"use_uvloop": find_spec("uvloop") is not None})
    except BatchFetchError as error:
        code = code_of_failure(error)
        if code != ExitCode.LOCKED:  # Then the file is that of the run which holds the output.
            _record_failure(settings, options, code)
        log.error("%s", error)  # noqa: TRY400 - a sentence; a traceback is for defects
        return code
    except Exception:
        _record_failure(settings, options, ExitCode.DEFECT)
        raise


def choose(ctx: click.Context) -> tuple[Settings, RunOptions]:
    """
    Return the settings and options in *ctx*, each from its source of highest precedence.

    Raises `SettingsError`.
    """
    options = resolve(RunOptions, ctx)
    if options.sandbox and ctx.get_parameter_source("base_url") is ParameterSource.COMMANDLINE:
        raise SettingsError(
            "--base-url has no use with --sandbox, which asks its own stand-in; leave out one"
        )
    if options.sandbox and options.cluster and not options.cluster.startswith("local:"):
        raise SettingsError(
            f"--sandbox serves this machine only, and --cluster {options.cluster} has others; use"
            " --cluster local:N"
        )
    settings = resolve(Settings, ctx)
    if settings.shard is not None and options.cluster is not None:
        raise SettingsError(
            f"--shard {settings.shard} is for runs that know nothing of each other, and --cluster"
            f" {options.cluster} makes one run of many processes; leave out one"
        )
    return settings, options


def misspelt_variables(command: click.Command, environment: Mapping[str, str]) -> Iterator[str]:
    """
    Yield a warning for each variable that begins like those of *command* and is not one of them.

    The other commands check their own variables.
    """
    secrets = [credentials.variable(name) for name in credentials.NAMES]
    others = (REPORT_PREFIX, SANDBOX_PREFIX, SUBMIT_PREFIX)
    ours = {name: text for name, text in environment.items() if not name.startswith(others)}
    files = [f"{secret}_FILE" for secret in secrets]
    return unknown_variables(command, ours, PREFIX, [*secrets, *files])


def _metrics_file(settings: Settings, options: RunOptions) -> MetricsFile | None:
    if options.metrics_file is None or options.dry_run:
        return None
    return MetricsFile(options.metrics_file, settings.output, settings.shard)


def _record_failure(settings: Settings, options: RunOptions, code: ExitCode) -> None:
    if metrics := _metrics_file(settings, options):
        metrics.fail(code)


async def _plan(manifest: Manifest, settings: Settings, options: RunOptions) -> int:
    from batchfetch.run.plan import plan  # noqa: PLC0415 - a fetch does not need it

    plan_found = await plan(manifest, settings)
    print_stdout(
        plan_found.model_dump_json() if options.as_json else plan_text(plan_found, settings)
    )
    return 0


async def _fetch(
    manifest: Manifest, settings: Settings, options: RunOptions, environment: Mapping[str, str]
) -> int:
    manifest.require_there()  # Before the credentials, which are harder to mend.
    batch: Batch | None = None
    failure: BatchFetchError | None = None
    metrics = _metrics_file(settings, options)
    hooks = [metrics.hook] if metrics else []
    async with service(settings, environment, sandbox=options.sandbox) as (chosen, credentials):
        try:
            async with open_batch(
                manifest,
                chosen,
                credentials=credentials,
                hooks=hooks,
                attended=is_terminal(sys.stderr),
                fetch_with=_cluster(options),
            ) as batch:
                hide(batch.secrets)
                await _follow(batch, options, metrics)
        except (CredentialsError, ManifestError, StorageError, UnavailableError) as error:
            if batch is None:
                raise
            failure = error
            log.error("%s", error)  # noqa: TRY400 - a sentence; a traceback is for defects
    summary = with_failure(batch.summary, failure)
    if metrics:
        metrics.close(batch.progress, summary)
    _conclude(summary, batch, settings, options)
    return summary.exit_code


def _cluster(
    options: RunOptions,
) -> Callable[[Wiring], AbstractAsyncContextManager[Fetcher]] | None:
    """
    Return what opens the cluster that is to fetch; None for this process.
    """
    if options.cluster is None:
        return None
    from batchfetch.cluster import on_cluster  # noqa: PLC0415 - few runs need it

    return on_cluster(options.cluster, chunk=options.chunk, insecure=options.insecure_cluster)


async def _follow(batch: Batch, options: RunOptions, metrics: MetricsFile | None) -> None:
    outcomes = OutcomeLog()
    with open_display(options.progress, options.log_format, FETCH_WORDS) as display:
        work = [
            partial(stop_on_signal, batch, display.close),
            partial(display.follow, lambda: batch.progress),
        ]
        if metrics:
            work.append(partial(metrics.follow, lambda: (batch.progress, batch.summary)))
        async with beside(*work):
            async for outcome in batch:
                outcomes.add(outcome)


def with_failure(summary: Summary, failure: BatchFetchError | None) -> Summary:
    """
    Return *summary* with the exit code of a *failure* that the batch does not know of: the report
    could not be closed, for instance.
    """
    graver = {ExitCode.CREDENTIALS, ExitCode.STORAGE}
    if not isinstance(failure, StorageError) or summary.exit_code in graver:
        return summary
    return summary.model_copy(update={"exit_code": ExitCode.STORAGE, "stopped_by": "storage"})


def _conclude(summary: Summary, batch: Batch, settings: Settings, options: RunOptions) -> None:
    """
    Log the summary, and an explanation if the exit code is not 0; print it if that was asked for.
    """
    block = {"block": True, "fields": {"summary": summary.model_dump(mode="json")}}
    text = summary_text(summary, settings.report_path, settings.price_per_call)
    log.info("%s", text, extra=block)
    if summary.exit_code != ExitCode.COMPLETED:
        earlier, counted = batch.settled_earlier, batch.progress.all_read
        log.warning("%s", explanation(summary, earlier, settings, counted=counted), extra=block)
    if options.as_json:
        print_stdout(summary.model_dump_json())
