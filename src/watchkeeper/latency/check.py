"""All streams and routes at one time: what is slow, what became longer, what times out, and what to remember."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from watchkeeper.latency.changes import LOOKED_AT, Change, SlowSince, changes_of, slow_since
from watchkeeper.latency.look import Looked, Slow, baselines, look
from watchkeeper.latency.memory import APART, RUNNING, Baseline, Memories, Memory, TimeoutMemory, Watched
from watchkeeper.latency.streams import Answers, Stream, Traffic, streams_of
from watchkeeper.latency.timeouts import TimedOut, look_at_timeouts


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What one check saw.

    Attributes:
        streams: Stream -> what its tests said.
        since_change: Slower than before the last change of their route, two checks running.
        timed_out: Routes with more timeouts than usual.
        memories: To be kept once the findings are handed on.
    """

    at: datetime
    streams: Mapping[Stream, Looked]
    since_change: Sequence[SlowSince]
    timed_out: Sequence[TimedOut]
    memories: Memories

    @property
    def slow(self) -> list[tuple[Stream, Slow]]:
        """Every test of a stream that alarms."""
        return [(stream, slow) for stream, looked in self.streams.items() for slow in looked.slow.values()]


def check_traffic(traffic: Traffic, before: Memories, now: datetime, *, ratio: float, per_day: int) -> Checked:
    """Look at everything.

    Args:
        traffic: Of look.HISTORY.
        before: What the last check left.
        ratio: Times the past's quantile below which nobody is told.
        per_day: Requests a day below which a stream joins the others of its route.
    """
    streams = streams_of(traffic, now, per_day=per_day)
    looked = look_at_streams(streams, {s: baselines(a, now) for s, a in streams.items()}, before, now, ratio=ratio)
    changed, change_memories = _changes(traffic, before, now, ratio)
    timed_out, timeout_memories = _timeouts(traffic, before, now)
    return Checked(
        at=now,
        streams=looked,
        since_change=changed,
        timed_out=timed_out,
        memories=Memories(
            streams={**{stream_key(s): each.watched for s, each in looked.items()}, **change_memories},
            timeouts=timeout_memories,
        ),
    )


def look_at_streams(
    streams: Mapping[Stream, Answers],
    usual: Mapping[Stream, Mapping[str, Baseline]],
    before: Memories,
    now: datetime,
    *,
    ratio: float,
) -> dict[Stream, Looked]:
    """Look at every stream against its baselines."""
    return {
        stream: look(
            answers, usual[stream], before.streams.get(stream_key(stream), {}), now, ratio=ratio, streams=len(streams)
        )
        for stream, answers in streams.items()
    }


def stream_key(stream: Stream) -> str:
    """What a stream is remembered by."""
    return "\x1f".join(
        ["stream", *("" if part is None else f"={part}" for part in (stream.route, stream.model, stream.prompt))]
    )


def _change_key(route: str, change: Change) -> str:
    return "\x1f".join(["change", f"={route}", change.dimension, change.value])


def _changes(
    traffic: Traffic, before: Memories, now: datetime, ratio: float
) -> tuple[list[SlowSince], dict[str, Memory]]:
    """What is slower than before a change, two checks running; and what to remember of it."""
    held: list[SlowSince] = []
    kept: dict[str, Memory] = {}
    for route in _routes(traffic):
        mine = traffic.route.having(route)
        found = changes_of(traffic, mine, now)
        for place, change in enumerate(found):
            key = _change_key(route, change)
            old = before.streams.get(key, {})
            is_open = any(each.since is not None for each in old.values())
            # Only the newest may open an incident, and only while it is young; one that is open is followed on.
            if not is_open and (place > 0 or now - change.at > LOOKED_AT):
                continue
            memory: dict[str, Watched] = {}
            for slow in slow_since(traffic, mine, change, now, ratio=1 + (ratio - 1) / 2 if is_open else ratio):
                test = f"{slow.model or ''} {slow.test}"
                memory[test] = _running(old.get(test), slow, now)
                if memory[test].since is not None:
                    held.append(slow)
            if memory:
                kept[key] = memory
    return held, kept


def _running(old: Watched | None, slow: SlowSince, now: datetime) -> Watched:
    """A change is an alarm when two checks running say so."""
    if old is None:
        return Watched(at=now, p=None, last=now, longer=slow.longer)
    again = APART <= now - old.at <= RUNNING
    since = old.since or (now if again else None)
    return Watched(at=old.at if now - old.at < APART else now, p=None, since=since, last=now, longer=slow.longer)


def _routes(traffic: Traffic) -> list[str]:
    return [route for route in traffic.route.distinct() if route is not None]


def _timeouts(traffic: Traffic, before: Memories, now: datetime) -> tuple[list[TimedOut], dict[str, TimeoutMemory]]:
    found: list[TimedOut] = []
    kept: dict[str, TimeoutMemory] = {}
    for route in _routes(traffic):
        mine = traffic.route.having(route)
        seen, memory = look_at_timeouts(
            route, traffic.at[mine], traffic.timed_out[mine], before.timeouts.get(route), now
        )
        if seen is not None:
            found.append(seen)
        if memory is not None:
            kept[route] = memory
    return found, kept
