"""Work done many at once: whatever was finished is saved before anybody goes on, however it ends."""

import asyncio
import threading

import pytest

from watchkeeper.foundation.work_through import FLUSH_EVERY_S, work_through


async def double(item: int) -> int:
    await asyncio.sleep(0)
    return 2 * item


def test_every_result_is_saved_once() -> None:
    saved: list[int] = []
    asyncio.run(work_through(range(100), double, workers=7, save=saved.extend))
    assert sorted(saved) == [2 * n for n in range(100)]


def test_nobody_goes_on_while_a_batch_is_half_saved() -> None:
    """The last item ends while the batch before it is still being saved in its thread."""
    saved: list[int] = []
    saving, last_is_done = threading.Event(), threading.Event()

    def save(batch: list[int]) -> None:
        if not saving.is_set():
            saving.set()
            assert last_is_done.wait(10)
        saved.extend(batch)

    async def do(item: int) -> int:
        if item == 1:
            await asyncio.to_thread(saving.wait, 10)
            asyncio.get_running_loop().call_later(0.05, last_is_done.set)
        return item

    async def run() -> list[int]:
        await work_through([0, 1], do, workers=2, save=save)
        return sorted(saved)  # here and not after the loop's end, which waits for its threads

    assert asyncio.run(run()) == [0, 1]


def test_what_was_finished_before_an_error_is_saved() -> None:
    saved: list[int] = []

    async def do(item: int) -> int:
        if item == 5:
            raise RuntimeError("no more")
        return item

    with pytest.raises(RuntimeError, match="no more"):
        asyncio.run(work_through(range(10), do, workers=1, save=saved.extend))
    assert saved == [0, 1, 2, 3, 4]


def test_when_a_batch_cannot_be_saved_the_work_stops_and_says_so() -> None:
    started: list[int] = []

    def save(_: list[int]) -> None:
        raise OSError("disk full")

    async def do(item: int) -> int:
        started.append(item)
        await asyncio.sleep(FLUSH_EVERY_S / 10)
        return item

    with pytest.raises(OSError, match="disk full"):
        asyncio.run(work_through(range(10_000), do, workers=1, save=save))
    assert len(started) < 100


def test_a_batch_that_fails_at_the_very_end_is_not_silent() -> None:
    def save(_: list[int]) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        asyncio.run(work_through(range(3), double, workers=3, save=save))
