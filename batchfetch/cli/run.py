"""
A run of `batchfetch fetch`, from its settings to its exit code.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec
from typing import Any

import anyio

from batchfetch.cli.display import OutcomeLog, open_display
from batchfetch.cli.format import plan_text, summary_text
from batchfetch.cli.logs import configure
from batchfetch.cli.options import RunOptions, names_of
from batchfetch.cli.signals import stop_on_signal
from batchfetch.cli.sources import resolve, typed_options, unknown_variables, variables
from batchfetch.cli.streams import print_stdout
from batchfetch.errors import (
    BatchFetchError,
    CredentialsError,
    ManifestError,
    SettingsError,
    StorageError,
)
from batchfetch.exception_groups import unwrapped
from batchfetch.exit_codes import code_of_failure
from batchfetch.manifest import Manifest, ManifestFormat
from batchfetch.run.api import open_batch
from batchfetch.run.batch import Batch
from batchfetch.run.summary import Summary
from batchfetch.service import Credentials, credentials, find_credentials
from batchfetch.settings import Settings

log = logging.getLogger(__name__)

_PREFIX = "BATCHFETCH_"
_SANDBOX = "BATCHFETCH_SANDBOX_"
_NAMES = [*names_of(Settings), *names_of(RunOptions)]


def run(
    manifests: tuple[str, ...],
    config: str | None,
    typed: Mapping[str, Any],
    environment: Mapping[str, str],
) -> int:
    """
    Fetch, or with `--dry-run` foretell, the tasks of *manifests*; return the exit code.

    *config* is the name of a settings file, *typed* holds the options on the command line.
    Raises `SettingsError` where they make no sense.
    """
    settings, options = choose(config, typed, environment)
    configure(options.log_format, options.log_level)
    for sentence in strange_variables(environment):
        log.warning("%s", sentence)
    form = ManifestFormat(options.manifest_format) if options.manifest_format else None
    manifest = Manifest(*manifests, manifest_format=form)
    work: Callable[[], Awaitable[int]]
    if options.dry_run:
        work = partial(_plan, manifest, settings, options)
    else:
        work = partial(_fetch, manifest, settings, options, environment)
    try:
        return anyio.run(work, backend_options={"use_uvloop": find_spec("uvloop") is not None})
    except BatchFetchError as error:
        code = code_of_failure(error)
        log.error("%s", error)  # noqa: TRY400 - a sentence; a traceback is for defects
        return code


def choose(
    config: str | None, typed: Mapping[str, Any], environment: Mapping[str, str]
) -> tuple[Settings, RunOptions]:
    """
    Return what the command line, the environment, the settings file and the defaults come to.

    Raises `SettingsError`.
    """
    config = config or environment.get(f"{_PREFIX}CONFIG")
    sources = [typed_options(typed), variables(environment, _NAMES, _PREFIX)]
    if config:
        from batchfetch.cli.config_file import read_config  # noqa: PLC0415 - a parser of TOML

        sources.append(read_config(config, _NAMES))
    options = resolve(RunOptions, sources)
    if options.sandbox and "base_url" in sources[0].values:
        raise SettingsError("--base-url and --sandbox exclude each other")
    return resolve(Settings, sources), options


def strange_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """
    Yield a sentence about each variable that looks like one of ours and is none: a misspelt one.

    Those of the sandbox are its own affair.
    """
    secrets = credentials.NAMES
    known = [*_NAMES, "config", *secrets, *(f"{name}_file" for name in secrets)]
    ours = {name: text for name, text in environment.items() if not name.startswith(_SANDBOX)}
    yield from unknown_variables(ours, _PREFIX, [_PREFIX + name.upper() for name in known])


async def _plan(manifest: Manifest, settings: Settings, options: RunOptions) -> int:
    from batchfetch.run.plan import plan  # noqa: PLC0415 - nothing that a run needs

    plan_found = await plan(manifest, settings)
    print_stdout(
        plan_found.model_dump_json() if options.as_json else plan_text(plan_found, settings)
    )
    return 0


async def _fetch(
    manifest: Manifest, settings: Settings, options: RunOptions, environment: Mapping[str, str]
) -> int:
    batch: Batch | None = None
    async with _service(settings, options, environment) as (chosen, credentials):
        try:
            async with open_batch(manifest, chosen, credentials=credentials) as batch:
                await _follow(batch, options)
        except (CredentialsError, ManifestError, StorageError) as error:
            if batch is None:
                raise
            log.error("%s", error)  # noqa: TRY400 - a sentence; a traceback is for defects
    _conclude(batch.summary, settings, options)
    return batch.summary.exit_code


@asynccontextmanager
async def _service(
    settings: Settings, options: RunOptions, environment: Mapping[str, str]
) -> AsyncIterator[tuple[Settings, Credentials]]:
    """
    Say whom to ask and as whom: the service, or a stand-in that lives as long as the block.
    """
    if not options.sandbox:
        yield settings, find_credentials(environment)
        return
    # A server is a tenth of a second of imports that no other run needs.
    from batchfetch.cli.sandbox import from_environment, open_sandbox  # noqa: PLC0415

    async with open_sandbox(from_environment(environment)) as sandbox:
        yield (
            settings.model_copy(update={"base_url": sandbox.url}),
            Credentials.model_validate({"client_id": "anybody", "client_secret": "anything"}),
        )


async def _follow(batch: Batch, options: RunOptions) -> None:
    outcomes = OutcomeLog()
    with open_display(options.progress, options.log_format) as display:
        async with _beside(
            partial(stop_on_signal, batch, display.close),
            partial(display.follow, lambda: batch.progress),
        ):
            async for outcome in batch:
                outcomes.add(outcome)


@asynccontextmanager
async def _beside(*work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """
    Do *work* until the block is left.  What the block raises comes out as it is, not in a group.
    """
    with unwrapped():
        async with anyio.create_task_group() as tasks:
            for each in work:
                tasks.start_soon(each)
            yield
            tasks.cancel_scope.cancel()


def _conclude(summary: Summary, settings: Settings, options: RunOptions) -> None:
    log.info(
        "%s",
        summary_text(summary, settings.report_path, settings.price_per_call),
        extra={"block": True, "fields": {"summary": summary.model_dump(mode="json")}},
    )
    if options.as_json:
        print_stdout(summary.model_dump_json())
