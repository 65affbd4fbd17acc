"""
A hook that counts what a run does, and the text format in which Prometheus reads the counts.

Source of the format: prometheus.io/docs/instrumenting/exposition_formats, text-based format 0.0.4.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from batchfetch.hooks.base import Answered, Event, Held, Paused, Resumed, Settled
from batchfetch.models import Outcome, OutcomeStatus

BUCKETS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""Upper bounds of the histogram of the time to an image, in seconds."""

_PREFIX = "batchfetch_"
_ESCAPED = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})


@dataclass(frozen=True, slots=True)
class Sample:
    """
    One value of a metric.
    """

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ""
    """Of the metric's name: `_bucket`, `_sum` or `_count` in a histogram."""


@dataclass(frozen=True, slots=True)
class Metric:
    """
    A metric with its values; *name* is without the prefix.
    """

    name: str
    kind: str
    """`counter`, `gauge` or `histogram`."""

    text: str
    samples: Sequence[Sample]


def gauge(name: str, text: str, value: float) -> Metric:
    """
    Return a gauge with one value.
    """
    return Metric(name, "gauge", text, [Sample(value)])


def counter(name: str, text: str, value: float) -> Metric:
    """
    Return a counter with one value.
    """
    return Metric(name, "counter", text, [Sample(value)])


def exposition(metrics: Iterable[Metric], labels: Mapping[str, str]) -> str:
    """
    Return *metrics* as Prometheus reads them, every value with *labels*.
    """
    return "".join(f"{line}\n" for metric in metrics for line in _lines(metric, labels))


def _lines(metric: Metric, labels: Mapping[str, str]) -> Iterator[str]:
    name = _PREFIX + metric.name
    yield f"# HELP {name} {metric.text}"
    yield f"# TYPE {name} {metric.kind}"
    for sample in metric.samples:
        all_labels = {**labels, **sample.labels}
        pairs = (f'{label}="{text.translate(_ESCAPED)}"' for label, text in all_labels.items())
        yield f"{name}{sample.suffix}{{{','.join(pairs)}}} {_number(sample.value)}"


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) else repr(round(value, 6))


class MetricsHook:
    """
    Counts answers, outcomes, bytes, pauses and outages, and how long images took.

    *clock* is monotonic, *now* is Unix time; both in seconds.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._now = now
        self._answers: Counter[str] = Counter()
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self._bytes = 0
        self._paused = 0.0
        self._paused_until = float("-inf")
        self._held = 0.0
        self._held_since: float | None = None
        self._image_at: float | None = None
        self._images = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0

    def __call__(self, event: Event, /) -> None:
        match event:
            case Answered(result=result):
                self._answers[result] += 1
            case Settled(outcome=outcome):
                self._outcomes[outcome.status, outcome.reason or ""] += 1
                if outcome.status is OutcomeStatus.COMPLETED and outcome.calls:
                    self._count_image(outcome)
            case Paused(seconds=seconds):
                self._pause(seconds)
            case Held():
                self._held_since = self._clock()
            case Resumed(seconds=seconds):
                self._held += seconds
                self._held_since = None

    def _count_image(self, outcome: Outcome) -> None:
        self._image_at = self._now()
        self._bytes += outcome.bytes or 0
        if outcome.first_call_at is not None:
            seconds = (outcome.finished_at - outcome.first_call_at).total_seconds()
            self._seconds += seconds
            self._images[next((i for i, at in enumerate(BUCKETS) if seconds <= at), -1)] += 1

    def _pause(self, seconds: float) -> None:
        # Pauses overlap: a second one counts from the end of the first.
        now = self._clock()
        until = max(self._paused_until, now + seconds)
        self._paused += until - max(self._paused_until, now)
        self._paused_until = until

    def metrics(self) -> Iterator[Metric]:
        """
        Yield what was counted so far.
        """
        yield Metric(
            "answers_total",
            "counter",
            "Questions that are over, by the service's word or by what was wrong.",
            [Sample(count, {"result": result}) for result, count in self._answers.items()],
        )
        yield Metric(
            "outcomes_total",
            "counter",
            "Tasks decided in this run, by outcome and reason.",
            [
                Sample(count, {"outcome": outcome, "reason": reason})
                for (outcome, reason), count in self._outcomes.items()
            ],
        )
        yield counter("image_bytes_total", "Bytes of the images fetched.", self._bytes)
        yield self._pauses()
        yield self._histogram()
        if self._image_at is not None:
            yield gauge(
                "last_image_timestamp_seconds", "When the last image was fetched.", self._image_at
            )

    def _pauses(self) -> Metric:
        now = self._clock()
        held = 0.0 if self._held_since is None else now - self._held_since
        to_come = max(0.0, self._paused_until - now)
        return Metric(
            "paused_seconds_total",
            "counter",
            "Seconds without requests, by cause: the service asked for it, or cannot be reached.",
            [
                Sample(self._paused - to_come, {"cause": "pause"}),
                Sample(self._held + held, {"cause": "outage"}),
            ],
        )

    def _histogram(self) -> Metric:
        samples = []
        total = 0
        for bound, count in zip((*BUCKETS, float("inf")), self._images, strict=True):
            total += count
            samples.append(Sample(total, {"le": _number(bound)}, "_bucket"))
        samples += [Sample(self._seconds, suffix="_sum"), Sample(total, suffix="_count")]
        text = "Seconds from a task's first call to its image."
        return Metric("image_seconds", "histogram", text, samples)
