"""Many pieces of paid work at once; what is finished is handed on in batches, also when the work is cut short."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import TypeVar

FLUSH_EVERY_S = 0.4
"""Longest time a result that was paid for is only in memory."""

Item = TypeVar("Item")
Result = TypeVar("Result")


async def work_through(
    items: Iterable[Item],
    do: Callable[[Item], Awaitable[Result]],
    *,
    workers: int,
    save: Callable[[list[Result]], None],
) -> None:
    """Do every item, at most `workers` at once, and hand every result to `save`, in batches, from a thread.

    Args:
        do: Makes one result; what it raises ends the work, and what was finished before is saved.
        save: Keeps a batch; when it raises, the work stops and what it kept before stays.
    """
    finished: list[Result] = []
    queue = iter(items)

    async def work() -> None:
        for item in queue:
            finished.append(await do(item))

    async def flush_now() -> None:
        if batch := finished[:]:
            del finished[: len(batch)]
            await asyncio.to_thread(save, batch)

    async def flush_often() -> None:
        while not stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), FLUSH_EVERY_S)
            await flush_now()
        await flush_now()  # what was finished while the last batch was being kept

    stopping = asyncio.Event()
    working = [asyncio.ensure_future(work()) for _ in range(workers)]
    flusher = asyncio.ensure_future(flush_often())
    try:
        await _all_or_first_error([*working, flusher], until=working)
    finally:
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        stopping.set()
        # Waited for and not cancelled: a batch may be half kept. Shielded: even a second Ctrl-C must not lose what was
        # paid for.
        await asyncio.shield(flusher if not flusher.done() else flush_now())


async def _all_or_first_error(tasks: Sequence[asyncio.Future[None]], *, until: Sequence[asyncio.Future[None]]) -> None:
    pending = set(until)
    while pending:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        tasks = [task for task in tasks if not task.done()]
        pending -= done
