"""Progress of a check: a live bar on a terminal, a line now and then elsewhere; cost so far on both."""

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from watchkeeper.cli.console import say
from watchkeeper.foundation.errors import Interrupted
from watchkeeper.foundation.money import show_usd
from watchkeeper.regression.runner import RunProgress
from watchkeeper.regression.service import OnProgress

_LINE_EVERY_S = 10.0


@contextmanager
def progress_of(*, fresh: bool = False) -> Iterator[OnProgress]:
    """Shows progress while the block runs; Ctrl-C inside it becomes one line that says how to go on.

    Args:
        fresh: Whether the command has --fresh, with which it would ask everything again.

    Raises:
        Interrupted: If the person stopped it.
    """
    latest: list[RunProgress] = []
    show = _bars() if sys.stderr.isatty() else _lines()
    try:
        with show as draw:

            def on_progress(runs: Sequence[RunProgress]) -> None:
                latest[:] = runs
                draw(runs)

            yield on_progress
    except KeyboardInterrupt:
        done, planned = sum(r.done for r in latest), sum(r.planned for r in latest)
        again = "the same command without --fresh" if fresh else "the same command"
        raise Interrupted(
            f"stopped; {done} of {planned} answers are stored ({_cost(latest)}); {again} goes on from there"
        ) from None


@contextmanager
def _bars() -> Iterator[OnProgress]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def draw(runs: Sequence[RunProgress]) -> None:
            for run in runs:
                if run.label not in tasks:
                    tasks[run.label] = bars.add_task(run.label, total=run.planned, note="")
                bars.update(tasks[run.label], completed=run.done, note=_note(run))

        yield draw


@contextmanager
def _lines() -> Iterator[OnProgress]:
    lock, last = threading.Lock(), [time.monotonic()]

    def draw(runs: Sequence[RunProgress]) -> None:
        with lock:
            if time.monotonic() - last[0] < _LINE_EVERY_S:
                return
            last[0] = time.monotonic()
        done, planned = sum(r.done for r in runs), sum(r.planned for r in runs)
        say(f"{done} of {planned} answers, {_cost(runs)} so far")

    yield draw


def _note(run: RunProgress) -> str:
    parts = [_cost([run])]
    if run.retried:
        parts.append(f"{run.retried} retried")
    if run.missing:
        parts.append(f"{sum(run.missing.values())} missing")
    return ", ".join(parts)


def _cost(runs: Sequence[RunProgress]) -> str:
    unpriced = sum(r.unpriced for r in runs)
    text = show_usd(sum(r.cost_nano_usd for r in runs))
    return f"{text} and {unpriced} unpriced" if unpriced else text
