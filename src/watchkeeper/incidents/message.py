"""An incident or a notice as a Slack message: Block Kit, within its limits by construction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from watchkeeper.incidents.incident import Incident
from watchkeeper.incidents.kinds import KINDS
from watchkeeper.incidents.mrkdwn import code, length, one_line, plain, shown

# Slack's limits: slack.dev reference of blocks; the fallback text's is Slack's advice.
HEADER, SECTION, FIELD, BUTTON, URL, FALLBACK = 150, 3000, 2000, 75, 3000, 4000
FIELDS, BUTTONS = 8, 5
WORST_CASES = 3
_ANSWER = 400  # of a worst case: enough to see what broke, short enough for two columns on a phone
_VALUE = 250
_NOTICE_LINES = 20
_ICONS = {"critical": "🔴", "error": "🔴", "warning": "🟡", "info": "🔵"}
_HIDDEN_EVIDENCE = {"run_id", "worst_cases", "suites", "override"}

Block = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is posted.

    Attributes:
        text: Fallback for notifications and screen readers; never empty.
        blocks: Block Kit; may be empty, then the text is all.
    """

    text: str
    blocks: tuple[Block, ...]


def incident_message(incident: Incident, *, base_url: str, runbook: str) -> Message:
    """The one root message of an incident, as it is now.

    Args:
        base_url: How people reach this installation's pages.
        runbook: URL of the runbook page.
    """
    title = _title(incident)
    is_open = incident.resolved_at is None
    blocks: list[Block] = [
        {"type": "header", "text": {"type": "plain_text", "text": plain(title, HEADER), "emoji": True}},
        _section(_itemised(incident.summary)),
        _fields(incident),
    ]
    if is_open:
        blocks += _worst_cases(incident.evidence.get("worst_cases"))
        blocks.append(_section(f"*First move:* {plain(one_line(incident.first_move), 600)}"))
    links = {name: path for name, path in incident.links.items() if name not in ("Runbook", "Incident")}
    pages = {"Runbook": runbook, **links, "Incident": f"/incidents/{incident.id}"}
    blocks += _buttons(pages, base_url, primary="Runbook" if is_open else None)
    blocks.append(_context(_footer(incident)))
    return Message(text=shown(f"{title}: {one_line(incident.summary)}", FALLBACK), blocks=tuple(blocks))


def notice_message(*, summary: str, lines: Sequence[str], links: Mapping[str, str], base_url: str) -> Message:
    """Something to read once: a headline, its lines, links; nobody has to act."""
    listed = [f"• {one_line(line)}" for line in lines[:_NOTICE_LINES]]
    if len(lines) > _NOTICE_LINES:
        listed.append(f"… and {len(lines) - _NOTICE_LINES} more")
    text = "\n".join([f"*{shown(one_line(summary), 500)}*", shown("\n".join(listed), SECTION - 600)]).strip()
    blocks = [_section(text), *_buttons(links, base_url, primary=None)]
    return Message(text=shown(one_line(summary), FALLBACK) or "watchkeeper", blocks=tuple(blocks))


def lasted(start: datetime, end: datetime) -> str:
    """How long, for people: "under a minute", "42 min", "3 h 5 min", "2 d 4 h"."""
    minutes = int((end - start).total_seconds() // 60)
    if minutes < 1:
        return "under a minute"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


def _title(incident: Incident) -> str:
    what = f"{KINDS.get(incident.kind, incident.kind)}: {_where(incident.subject)}".removesuffix(": ")
    if incident.resolved_at is not None:
        return f"✅ Resolved after {lasted(incident.opened_at, incident.resolved_at)}: {what}"
    if incident.status == "acknowledged":
        return f"👀 {one_line(incident.acknowledged_by or 'Somebody')[:30]} is on it: {what}"
    return f"{_ICONS[incident.severity]} {incident.severity.capitalize()}: {what}"


def _where(subject: Mapping[str, str]) -> str:
    if {"baseline", "candidate"} <= subject.keys():
        return one_line(f"{subject['baseline']} → {subject['candidate']}")
    return one_line(", ".join(subject.values()))


def _itemised(summary: str) -> str:
    """The sentence; where it lists several losses after its colon, one line each."""
    head, _, tail = one_line(summary).partition(": ")
    items = tail.split("; ")
    text = head + ":\n" + "\n".join(f"• {item}" for item in items) if len(items) > 1 else one_line(summary)
    return shown(text, SECTION) or "(no summary)"


def _fields(incident: Incident) -> Block:
    pairs = [(name.replace("_", " ").capitalize(), value) for name, value in incident.subject.items()]
    if failing := _newly_failing(incident.evidence.get("suites")):
        pairs.append(("Newly failing", failing))
    pairs += [
        (name.replace("_", " ").capitalize(), text)
        for name, value in incident.evidence.items()
        if name not in _HIDDEN_EVIDENCE and (text := _scalar(value)) is not None
    ]
    pairs = [*pairs[: FIELDS - 1], ("First seen", _time(incident.opened_at))]
    return {
        "type": "section",
        "fields": [
            _mrkdwn(f"*{shown(one_line(name), 80)}*\n{shown(one_line(value), _VALUE) or '–'}") for name, value in pairs
        ],
    }


def _newly_failing(suites: Any) -> str | None:
    if not isinstance(suites, list):
        return None
    counts = [
        f"{suite['suite']} {suite['newly_failing']} of {suite['cases']}"
        for suite in suites
        if isinstance(suite, dict) and suite.get("newly_failing") and "suite" in suite and "cases" in suite
    ]
    return ", ".join(counts) or None


def _scalar(value: Any) -> str | None:
    """One value, or a short list of them, as text; None for anything deeper."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | str) and value != "":
        return str(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list) and value and all(isinstance(v, int | float | str) for v in value):
        return ", ".join(str(v) for v in value)
    return None


def _worst_cases(cases: Any) -> list[Block]:
    """One section a case, baseline and candidate in its two columns."""
    if not isinstance(cases, list):
        return []
    blocks: list[Block] = []
    for case in [c for c in cases if isinstance(c, dict)][:WORST_CASES]:
        name = shown(one_line(f"{case.get('suite', '')} / {case.get('case', '')}"), 120)
        why = shown(one_line(str(case.get("why") or "")), 120)
        blocks.append(
            {
                "type": "section",
                "fields": [
                    _mrkdwn(f"*{name}* · baseline\n{_answer(case.get('baseline'))}"),
                    _mrkdwn(f"*{why or 'worse'}* · candidate\n{_answer(case.get('candidate'))}"),
                ],
            }
        )
    return blocks


def _answer(text: Any) -> str:
    # Cut before escaping, so that two answers of equal length are cut at the same place.
    return (
        code(text[:_ANSWER] + ("…" if len(text) > _ANSWER else ""), FIELD - 300)
        if isinstance(text, str)
        else "(no answer)"
    )


def _buttons(pages: Mapping[str, str], base_url: str, *, primary: str | None) -> list[Block]:
    """Link buttons; an address Slack would refuse makes none."""
    elements: list[Block] = []
    for number, (name, path) in enumerate(pages.items()):
        url = path if "://" in path else f"{base_url.rstrip('/')}/{path.lstrip('/')}"
        if not url.startswith(("http://", "https://")) or length(url) > URL or len(elements) == BUTTONS:
            continue
        label = plain(one_line(name), BUTTON) or "Open"
        button: Block = {
            "type": "button",
            "text": {"type": "plain_text", "text": label, "emoji": False},
            "url": url,
            "action_id": f"wk_open_{number}",
        }
        if name == primary:
            button["style"] = "primary"
        elements.append(button)
    return [{"type": "actions", "elements": elements}] if elements else []


def _footer(incident: Incident) -> str:
    parts = [f"Incident {incident.id}", f"opened {_time(incident.opened_at)}"]
    if incident.occurrences > 1:
        parts.append(f"seen {incident.occurrences} times, last {_time(incident.last_seen_at)}")
    if incident.acknowledged_at is not None:
        parts.append(f"acknowledged by {incident.acknowledged_by} {_time(incident.acknowledged_at)}")
    if incident.resolved_at is not None:
        parts.append(f"resolved by {incident.resolved_by} {_time(incident.resolved_at)}")
    return shown(one_line(" · ".join(parts)), FIELD)


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _section(text: str) -> Block:
    return {"type": "section", "text": _mrkdwn(text)}


def _context(text: str) -> Block:
    return {"type": "context", "elements": [_mrkdwn(text)]}


def _mrkdwn(text: str) -> Block:
    # verbatim: addresses and @names in the text do not become links or mentions.
    return {"type": "mrkdwn", "text": text, "verbatim": True}
