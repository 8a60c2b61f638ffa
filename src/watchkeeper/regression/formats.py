"""A verdict for other programs: JUnit XML for CI, Markdown for a pull request (pure)."""

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

_SHOWN = 10
_LISTED = 200
"""Ids of one list in JUnit XML; a CI server keeps every report."""


def junit_xml(document: dict[str, Any]) -> str:
    """JUnit XML of a check: one test case per scorer, failed exactly when it makes the check exit 1.

    A primary scorer that regressed is a <failure>, one that is inconclusive is <skipped>; so is a regressed
    one that was overridden, and the suite says who did that and why. Cases that changed are text of the
    scorer's <system-out>, answers that are missing of its <system-err>: neither fails anything by itself.
    """
    root = ElementTree.Element("testsuites", name="watchkeeper")
    override = document["override"]
    for suite in document["suites"]:
        element = ElementTree.SubElement(root, "testsuite", name=_xml_text(suite["suite"]))
        if override:
            properties = ElementTree.SubElement(element, "properties")
            signed = _xml_text(f"{override['by']}: {override['why']}")
            ElementTree.SubElement(properties, "property", name="override", value=signed)
        failures = skipped = 0
        for scorer in suite["scorers"]:
            case = ElementTree.SubElement(
                element, "testcase", classname=_xml_text(suite["suite"]), name=_xml_text(scorer["name"])
            )
            if not scorer["primary"]:
                continue
            if scorer["verdict"] == "regressed" and not override:
                failures += 1
                failure = ElementTree.SubElement(case, "failure", message=_xml_text(_figures(scorer)), type="regressed")
                failure.text = _xml_text(scorer["reason"])
            elif scorer["verdict"] != "pass":
                skipped += 1
                overridden = f"regressed, overridden by {override['by']}: " if scorer["verdict"] == "regressed" else ""
                ElementTree.SubElement(case, "skipped", message=_xml_text(overridden + scorer["reason"]))
            _text(case, "system-out", _changed(suite))
            _text(case, "system-err", _missing(suite))
        element.set("tests", str(len(suite["scorers"])))
        element.set("failures", str(failures))
        element.set("errors", "0")
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


def _changed(suite: dict[str, Any]) -> list[str]:
    named = (("newly failing", suite["newly_failing"]), ("newly passing", suite["newly_passing"]))
    return [line for what, cases in named if cases for line in _listed(f"{what} by any primary scorer", cases)]


def _missing(suite: dict[str, Any]) -> list[str]:
    answers = [
        f"{e['case']} #{e['repeat']} {e['side']}: {e['error_type']}: {e['message'] or ''}" for e in suite["errors"]
    ]
    return _listed("answers missing", answers) if answers else []


def _listed(what: str, found: Sequence[str]) -> list[str]:
    more = [f"and {len(found) - _LISTED} more"] if len(found) > _LISTED else []
    return [f"{what} ({len(found)}):", *found[:_LISTED], *more]


def _text(case: ElementTree.Element, tag: str, lines: Sequence[str]) -> None:
    if lines:
        ElementTree.SubElement(case, tag).text = _xml_text("\n".join(lines))


def _xml_text(text: str) -> str:
    """Text without the characters XML 1.0 cannot hold."""
    return "".join(
        c for c in text if c in "\t\n" or (c >= " " and not "\ud800" <= c <= "\udfff" and c not in "\ufffe\uffff")
    )


def _figures(scorer: dict[str, Any]) -> str:
    if scorer["difference"] is None or scorer["interval"] is None:
        return "none"
    low, high = scorer["interval"]
    return f"{scorer['difference']:+.3f} ({low:+.3f} to {high:+.3f})"


def _mean(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _cell(text: str) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ").replace("`", "'")
