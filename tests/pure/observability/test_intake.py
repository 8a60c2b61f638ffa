"""The queue of spans: what is told when, and what becomes of those who stop waiting."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from watchkeeper.observability.intake import Intake, Overloaded
from watchkeeper.observability.pieces import Piece


def pieces(*names: str) -> list[Piece]:
    return [Piece("a" * 32, name, None, name, "other", 1, 1, False, {}) for name in names]


class SlowStore:
    """Stores when it is let; says what it has."""

    def __init__(self) -> None:
        self.free, self.begun = threading.Event(), threading.Event()
        self.stored: list[str] = []

    def __call__(self, some: Sequence[Piece], _: Mapping[str, int]) -> None:
        self.begun.set()
        assert self.free.wait(20)
        self.stored += [piece.name for piece in some]


@pytest.fixture
def store() -> SlowStore:
    return SlowStore()


@pytest.fixture
def intake(store: SlowStore) -> Iterator[Intake]:
    made = Intake(store, most_bytes=1000)
    yield made
    store.free.set()
    made.close()


def test_who_stops_waiting_before_their_turn_is_forgotten(intake: Intake, store: SlowStore) -> None:
    first = intake.put(pieces("first"), {})
    assert store.begun.wait(20)
    second, third = intake.put(pieces("second"), {}), intake.put(pieces("third"), {})
    assert second.cancel()
    store.free.set()
    assert (first.result(20), third.result(20)) == (None, None)
    assert store.stored == ["first", "third"]


def test_what_is_being_stored_cannot_be_taken_back(intake: Intake, store: SlowStore) -> None:
    first = intake.put(pieces("first"), {})
    assert store.begun.wait(20)
    assert not first.cancel()
    store.free.set()
    assert first.result(20) is None


def test_an_intake_goes_on_when_all_that_waited_have_left(intake: Intake, store: SlowStore) -> None:
    intake.put(pieces("first"), {})
    assert store.begun.wait(20)
    assert all(intake.put(pieces(name), {}).cancel() for name in ("second", "third"))
    store.free.set()
    assert intake.put(pieces("fourth"), {}).result(20) is None
    assert store.stored == ["first", "fourth"]


def test_room_is_refused_when_it_is_taken_and_there_again_when_it_is_left(intake: Intake) -> None:
    intake.admit(900)
    with pytest.raises(Overloaded):
        intake.admit(101)
    intake.leave(900)
    intake.admit(1000)


def test_a_store_that_fails_tells_every_sender(store: SlowStore) -> None:
    def failing(*_: Any) -> None:
        raise OSError("disk full")

    made = Intake(failing)
    with pytest.raises(OSError, match="disk full"):
        made.put(pieces("first"), {}).result(20)
    made.close()
    with pytest.raises(Overloaded):
        made.put(pieces("late"), {}).result(20)
