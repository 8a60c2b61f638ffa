"""The adaptive limiter against a simulated server, on a simulated clock."""

import threading

import pytest

from watchkeeper.sources.http import Pace


class Simulated:
    """A server that serves `rate` requests a second, `burst` at once; the clock moves only when somebody waits."""

    def __init__(self, rate: float, *, burst: float = 5, says_when: bool = True) -> None:
        self.rate, self.burst, self.says_when = rate, burst, says_when
        self.at, self.tokens, self.filled_at = 0.0, burst, 0.0
        self.served: list[float] = []
        self.refused: list[float] = []
        self.pace = Pace(now=lambda: self.at, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.at += seconds

    def ask(self) -> None:
        """One request, 20 ms long."""
        self.pace.wait()
        self.at += 0.02
        self.tokens = min(self.burst, self.tokens + (self.at - self.filled_at) * self.rate)
        self.filled_at = self.at
        if self.tokens >= 1:
            self.tokens -= 1
            self.served.append(self.at)
            self.pace.answered()
        else:
            self.refused.append(self.at)
            self.pace.refused((1 - self.tokens) / self.rate if self.says_when else None)

    def run(self, seconds: float) -> None:
        end = self.at + seconds
        while self.at < end:
            self.ask()

    def rate_since(self, at: float) -> float:
        return sum(t >= at for t in self.served) / (self.at - at)


@pytest.mark.parametrize("rate", [0.5, 2.0, 10.0, 30.0])
@pytest.mark.parametrize("says_when", [True, False], ids=["retry-after", "silent"])
def test_it_ends_near_the_servers_rate_with_few_refusals(rate: float, says_when: bool) -> None:
    server = Simulated(rate, says_when=says_when)
    server.run(900)
    begun = server.at
    refused = len(server.refused)
    server.run(900)
    assert 0.75 * rate <= server.rate_since(begun) <= 1.01 * rate
    assert (len(server.refused) - refused) / (rate * 900) < 0.1


@pytest.mark.parametrize("rate", [1.0, 5.0])
def test_it_recovers_when_the_server_allows_more(rate: float) -> None:
    server = Simulated(rate)
    server.run(600)
    server.rate = rate * 4
    server.run(240)
    begun = server.at
    server.run(300)
    assert server.rate_since(begun) >= 0.75 * rate * 4


def test_it_slows_down_at_once_when_the_server_allows_less() -> None:
    server = Simulated(20.0)
    server.run(600)
    server.rate = 2.0
    server.run(60)
    begun, refused = server.at, len(server.refused)
    server.run(300)
    assert 0.75 * 2.0 <= server.rate_since(begun) <= 2.02
    assert (len(server.refused) - refused) < 0.1 * 2.0 * 300


def test_nothing_is_held_back_before_the_first_refusal() -> None:
    server = Simulated(1e9, burst=1e9)
    server.run(1)
    assert server.pace.pause_s == 0
    assert len(server.served) == 50


def test_a_stated_wait_is_kept_to_the_second() -> None:
    server = Simulated(1)
    server.pace.refused(7.5)
    server.pace.wait()
    assert server.at == 7.5


def test_refusals_in_a_row_without_a_stated_wait_outlast_a_window_of_a_minute() -> None:
    server = Simulated(1)
    for _ in range(5):
        server.pace.refused(None)
        server.pace.wait()
    assert server.at >= 60


def test_requests_that_are_refused_together_cost_one_cut() -> None:
    alone, together = Simulated(1).pace, Simulated(1).pace
    alone.refused(3)
    for _ in range(8):
        together.refused(3)
    assert together.pause_s == alone.pause_s


def test_threads_share_one_pace() -> None:
    waits: list[float] = []
    shared = Pace(now=lambda: 0.0, sleep=waits.append)
    shared.refused(0)
    threads = [threading.Thread(target=shared.wait) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(waits)) == 7  # the first goes at once, every other at a time of its own
