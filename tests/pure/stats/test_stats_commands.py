"""`stats estimate|calibrate|latency|budget|rate|attribute`: rows in, one result a group, one line for a bad row."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from watchkeeper.cli.stats import app
from watchkeeper.foundation.errors import Misconfigured, NothingToCheck, Rejected

AT = datetime(2026, 9, 1, tzinfo=UTC)


def run(command, rows, *options):
    text = rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows)
    result = CliRunner().invoke(app, [command, "-", *options], input=text)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def result(command, rows, *options):
    return json.loads(run(command, rows, *options, "--json"))["groups"]


def at(hours):
    return (AT + timedelta(hours=hours)).isoformat()


GOOD = {
    "estimate": [{"value": i % 2, "inclusion": 0.1, "stratum": "base", "population": 400} for i in range(40)],
    "calibrate": [{"judge": 1, "human": 1 if i < 20 else None} for i in range(60)],
    "latency": [
        {"at": at(i / 10), "latency_ms": 100 + i * 37 % 50, "window": "before" if i < 500 else "after"}
        for i in range(1000)
    ],
    "budget": [{"at": at(i), "cost_usd": 0.1} for i in range(100)],
    "rate": [{"broken": int(i >= 100)} for i in range(130)],
    "attribute": [
        {"window": side, "route": "r", "model": "m", "usage": {"input": 10, "output": 5}, "cost_usd": cost}
        for side, cost in (("before", 0.1), ("after", 0.25))
    ],
}
OPTIONS = {"budget": ("--limit", "100", "--period", "month"), "rate": ("--baseline-rows", "100")}


def test_estimate_gives_its_figures():
    found = result("estimate", GOOD["estimate"])["all"]
    assert set(found) >= {"mean", "interval", "n", "effective_n", "missing"}
    assert (found["mean"], found["n"], found["missing"]) == (0.5, 40, 0)


def test_calibrate_gives_its_figures():
    found = result("calibrate", GOOD["calibrate"])["all"]
    assert set(found["agreement"]) >= {"kappa", "tpr", "tnr"}
    assert (found["raw"]["mean"], found["corrected"]["mean"], found["labels"]) == (1.0, 1.0, 20)
    assert found["certified"] is False


def test_latency_gives_its_figures():
    found = result("latency", GOOD["latency"])["all"]
    assert set(found["p50"]) == set(found["p95"]) == {"before", "after", "ratio", "interval"}
    assert found["verdict"] == "unchanged"


def test_budget_adds_up_exactly_and_counts_what_is_missing():
    rows = [*GOOD["budget"], {"at": at(1), "cost_usd": None}]
    found = result("budget", rows, *OPTIONS["budget"])["all"]
    assert (found["spent_usd"], found["missing"], found["verdict"]) == (10.0, 1, "within")
    assert set(found["forecast"]) >= {"usd", "interval", "exhausted_at"}


def test_budget_is_of_the_period_of_now_in_its_zone():
    rows = [{"at": "2026-08-31T22:30:00Z", "cost_usd": 1}, {"at": "2026-09-30T22:30:00Z", "cost_usd": 4}]
    options = ("--limit", "10", "--period", "month")
    now = ("--now", "2026-09-30T12:00:00Z")
    assert result("budget", rows, *options, *now)["all"]["spent_usd"] == 0
    found = result("budget", rows, *options, *now, "--timezone", "Europe/Berlin")["all"]
    assert (found["spent_usd"], found["later"]) == (1, 1)


def test_rate_counts_rows_from_one():
    found = result("rate", GOOD["rate"], *OPTIONS["rate"])["all"]
    assert 101 <= found["alert_at_row"] <= 110
    assert (found["since_row"], found["rate_since"], found["baseline_rate"]) == (101, 1.0, 0.0)


def test_rows_that_are_not_known_count_as_rows_and_as_neither_broken_nor_fine():
    rows = [{"broken": None}] * 10 + GOOD["rate"]
    found = result("rate", rows, "--baseline-rows", "110")["all"]
    assert (found["since_row"], found["missing"]) == (111, 10)


def test_attribute_parts_add_up():
    found = result("attribute", GOOD["attribute"])["all"]
    assert found["change_usd"] == pytest.approx(0.15)
    assert sum(found["parts"].values()) == pytest.approx(0.15, abs=1e-12)
    assert found["parts"]["price"] == pytest.approx(0.15)


def test_attribute_leaves_out_what_has_no_cost_and_says_how_much():
    rows = [*GOOD["attribute"], {**GOOD["attribute"][0], "cost_usd": None}]
    assert result("attribute", rows)["all"]["unpriced"] == 1


@pytest.mark.parametrize("command", GOOD)
def test_groups_are_reckoned_apart(command):
    rows = [{**row, "group": name} for name in ("a", "b") for row in GOOD[command]]
    found = result(command, rows, *OPTIONS.get(command, ()))
    alone = result(command, GOOD[command], *OPTIONS.get(command, ()))["all"]
    assert found == {"a": alone, "b": alone}


@pytest.mark.parametrize("command", GOOD)
def test_a_table_is_printed_without_json(command):
    assert run(command, [{**row, "group": "checkout"} for row in GOOD[command]], *OPTIONS.get(command, ())).count(
        "checkout"
    )


@pytest.mark.parametrize("command", GOOD)
def test_no_rows_are_nothing_to_reckon_with(command):
    with pytest.raises(NothingToCheck):
        run(command, "\n", *OPTIONS.get(command, ()))


@pytest.mark.parametrize(
    ("command", "row", "problem"),
    [
        ("estimate", {"inclusion": 0.1}, "value: missing"),
        ("estimate", {"value": 2, "inclusion": 0.1}, "value: 2 is not in"),
        ("estimate", {"value": 1, "inclusion": 0}, "inclusion: must be a probability"),
        ("estimate", {"value": 1}, "inclusion: must be a probability"),
        ("estimate", {"value": 1, "inclusion": 1, "population": 5}, "population: is a stratum's"),
        ("calibrate", {"human": 1}, "judge: missing"),
        ("calibrate", {"judge": "yes"}, "judge: must be a number"),
        ("latency", {"at": "2026-09-01T00:00:00", "latency_ms": 1, "window": "before"}, "at: time without a zone"),
        ("latency", {"at": at(0), "latency_ms": -1, "window": "before"}, "latency_ms: must be a number"),
        ("latency", {"at": at(0), "latency_ms": 1, "window": "now"}, "window: must be"),
        ("budget", {"at": at(0), "cost_usd": -0.1}, "cost_usd: must be a number"),
        ("budget", {"at": 5, "cost_usd": 1}, "at: must be an ISO time"),
        ("rate", {"broken": 2}, "broken: must be 0"),
        ("attribute", {"window": "after", "model": "m", "cost_usd": 1}, "route: missing"),
        (
            "attribute",
            {"window": "after", "route": "r", "model": "m", "usage": {"input": 1, "cache_read": 2}, "cost_usd": 1},
            "usage: its parts are more",
        ),
    ],
)
def test_the_first_bad_row_is_named(command, row, problem):
    with pytest.raises(Rejected, match=f"^-:{len(GOOD[command]) + 1}: {problem}"):
        run(command, [*GOOD[command], row], *OPTIONS.get(command, ()))


@pytest.mark.parametrize(
    ("command", "options", "problem"),
    [
        ("budget", ("--limit", "0", "--period", "day"), "--limit"),
        ("budget", ("--limit", "5", "--period", "day", "--timezone", "Mars/Olympus"), "there is no time zone"),
        ("latency", ("--floor", "1"), "--floor"),
    ],
)
def test_an_option_that_cannot_be_is_refused_in_one_line(command, options, problem):
    with pytest.raises(Misconfigured, match=problem):
        run(command, GOOD[command], *options)


def test_a_baseline_longer_than_the_rows_is_refused():
    with pytest.raises(Rejected, match="there are only 130 rows"):
        run("rate", GOOD["rate"], "--baseline-rows", "131")
