"""A verdict for other programs: JUnit XML for CI, Markdown for a pull request (pure)."""

from typing import Any
from xml.etree import ElementTree

_SHOWN = 10


def junit_xml(document: dict[str, Any]) -> str:
    """JUnit XML of a check: one test case per scorer and per changed or unanswered case.

    A regression is a <failure>, an answer that is missing an <error>: they are not the same.
    """
    root = ElementTree.Element("testsuites", name="watchkeeper")
    for suite in document["suites"]:
        element = ElementTree.SubElement(root, "testsuite", name=suite["suite"])
        failures = errors = skipped = 0
        for scorer in suite["scorers"]:
            case = _testcase(element, suite, scorer["name"])
            if scorer["verdict"] == "regressed" and scorer["primary"]:
                failures += 1
                _child(case, "failure", "regressed", _figures(scorer))
            elif scorer["verdict"] == "inconclusive" and scorer["primary"]:
                skipped += 1
                _child(case, "skipped", None, scorer["reason"])
        for name in suite["newly_failing"]:
            failures += 1
            _child(_testcase(element, suite, f"case {name}"), "failure", "newly_failing", "passed before, fails now")
        for error in suite["errors"]:
            errors += 1
            case = _testcase(element, suite, f"case {error['case']} #{error['repeat']} {error['side']}")
            _child(case, "error", error["error_type"], error["message"] or "")
        element.set("tests", str(len(element)))
        element.set("failures", str(failures))
        element.set("errors", str(errors))
        element.set("skipped", str(skipped))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def markdown(document: dict[str, Any]) -> str:
    """A summary for a pull request: the verdict, a table, what fails now, how to run it again."""
    lines = [
        f"### watchkeeper: {document['verdict']}",
        "",
        "| suite | scorer | baseline | candidate | difference (95 % interval) | verdict |",
        "|---|---|---:|---:|---|---|",
    ]
    for suite in document["suites"]:
        for scorer in suite["scorers"]:
            lines.append(
                f"| {_cell(suite['suite'])} | {_cell(scorer['name'])} | {_mean(scorer['baseline_mean'])} | "
                f"{_mean(scorer['candidate_mean'])} | {_figures(scorer)} | {scorer['verdict']} |"
            )
    for suite in document["suites"]:
        if failing := suite["newly_failing"]:
            shown = ", ".join(f"`{_cell(name)}`" for name in failing[:_SHOWN])
            more = f" and {len(failing) - _SHOWN} more" if len(failing) > _SHOWN else ""
            lines += ["", f"**{_cell(suite['suite'])}**, newly failing ({len(failing)}): {shown}{more}"]
    if override := document["override"]:
        lines += ["", f"Overridden by {_cell(override['by'])}: {_cell(override['why'])}"]
    lines += ["", f"Cases side by side: `watchkeeper runs show {document['run_id']}`", ""]
    return "\n".join(lines)


def _testcase(parent: ElementTree.Element, suite: dict[str, Any], name: str) -> ElementTree.Element:
    return ElementTree.SubElement(parent, "testcase", classname=suite["suite"], name=_xml_text(name))


def _child(case: ElementTree.Element, tag: str, kind: str | None, message: str) -> None:
    child = ElementTree.SubElement(case, tag, message=_xml_text(message))
    if kind:
        child.set("type", kind)


def _xml_text(text: str) -> str:
    """Text without the control characters XML 1.0 cannot hold."""
    return "".join(c for c in text if c in "\t\n" or (ord(c) >= 32 and not 0xD800 <= ord(c) <= 0xDFFF))


def _figures(scorer: dict[str, Any]) -> str:
    if scorer["difference"] is None or scorer["interval"] is None:
        return "none"
    low, high = scorer["interval"]
    return f"{scorer['difference']:+.3f} ({low:+.3f} to {high:+.3f})"


def _mean(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _cell(text: str) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ").replace("`", "'")
