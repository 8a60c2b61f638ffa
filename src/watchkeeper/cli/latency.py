"""`latency`: is a route slower than it was, and do its requests time out."""

from typing import TYPE_CHECKING, Any

import typer

from watchkeeper.cli.console import ConfigOption, JsonOption, print_json
from watchkeeper.foundation.errors import NothingToCheck

if TYPE_CHECKING:
    from watchkeeper.jobs.latency import LatencyReport
    from watchkeeper.latency.look import Looked
    from watchkeeper.latency.streams import Stream

app = typer.Typer(no_args_is_help=True, help="Latency and timeouts against their own past.")


@app.callback()
def _group() -> None:
    pass


@app.command("check")
def check(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Check latencies and timeouts now, as the schedule does. Exit 1: a route is slower, or times out more."""
    from watchkeeper.app import open_app
    from watchkeeper.jobs.latency import check_latency
    from watchkeeper.latency.words import longer_answers, summary_line

    with open_app(config) as opened:
        report = check_latency(opened)
    if not report.checked.streams and not report.findings:
        raise NothingToCheck("no answered request of the last 15 days is recorded; watchkeeper records import FILE")
    if as_json:
        print_json(document(report))
    else:
        print(summary_line(report.checked))
        for finding in report.findings:
            print(f"  {finding.kind}: {finding.summary}")
        for _, said in longer_answers(report.checked):
            print(f"  note: {said}")
    if report.findings:
        raise typer.Exit(1)


def document(report: "LatencyReport") -> dict[str, Any]:
    """A check; durations in milliseconds."""
    from watchkeeper.latency.words import longer_answers

    return {
        "streams": [_stream(stream, looked) for stream, looked in report.checked.streams.items()],
        "longer_answers": [{**subject, "summary": said} for subject, said in longer_answers(report.checked)],
        "findings": [
            {
                "kind": finding.kind,
                "severity": finding.severity,
                "subject": dict(finding.subject),
                "summary": finding.summary,
                "evidence": finding.evidence,
            }
            for finding in report.findings
        ],
    }


def _stream(stream: "Stream", looked: "Looked") -> dict[str, Any]:
    return {
        "route": stream.route,
        "model": stream.model,
        "prompt": stream.prompt or None,
        "verdict": _verdict(looked),
        "tests": {
            test: {
                "baseline_ms": base.limit,
                "baseline_requests": base.requests,
                "p": looked.watched[test].p,
                "slow": test in looked.slow,
            }
            for test, base in looked.baselines.items()
        },
    }


def _verdict(looked: "Looked") -> str:
    if not looked.baselines:
        return "too little past"
    if any(not slow.longer for slow in looked.slow.values()):
        return "slower"
    return "longer answers" if looked.slow else "as usual"
