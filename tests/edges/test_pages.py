"""The pages in a process of the real server: what they answer, and that hostile text stays text."""

import shutil
import subprocess
import threading
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.testclient import TestClient

from watchkeeper.app import App
from watchkeeper.database.engine import Store, open_store
from watchkeeper.foundation.clock import FrozenClock
from watchkeeper.foundation.finding import Finding
from watchkeeper.incidents import service as incidents
from watchkeeper.incidents.kinds import KINDS
from watchkeeper.incidents.reconcile import Scope
from watchkeeper.regression import store as runs
from watchkeeper.regression.attempt import AttemptResult
from watchkeeper.settings import load_settings
from watchkeeper.web.server import make_server

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)
RUN = "018f0000000000000000000001"
HOSTILE = {
    "script": "<script>document.title='owned'</script>",
    "broken out": "</pre></code></td><img src=x onerror=\"document.title='owned'\">",
    "attribute": "\" onmouseover=\"document.title='owned'\" x='",
    "link": "[click](javascript:document.title='owned') <a href=\"javascript:document.title='owned'\">x</a>",
    "template": "{{ 7 * 7 }}{% raw %}",
    "reversed": "abc \u202e fed \u2066 \u200b \ufeff",
    "nul": "a\x00b\x1bc\x7f",
}
ALL = " ".join(HOSTILE.values())
hostile_texts = pytest.mark.parametrize("text", HOSTILE.values(), ids=list(HOSTILE))


@pytest.fixture
def app(tmp_path: Path, sqlite_store: Store) -> App:
    return installation(tmp_path, sqlite_store)


def installation(root: Path, store: Store) -> App:
    config = root / "watchkeeper.toml"
    config.write_text('[providers.p]\nbase_url = "http://127.0.0.1:9/v1"\n[routes."answers"]\nmodel = "p/old-1"\n')
    return App(settings=load_settings(config), store=store, clock=FrozenClock(NOW), root=root)


@pytest.fixture
def client(app: App) -> TestClient:
    return TestClient(make_server(app))


def incident(app: App, *, subject: dict[str, str] | None = None, **fields: Any) -> str:
    """An open incident; its id."""
    values: dict[str, Any] = {"kind": "model-regressed", "severity": "error", "summary": "lost 9 points", **fields}
    finding = Finding(subject=subject or {"baseline": "p/old-1", "candidate": "p/new-1"}, **values)
    scope = Scope(kinds=frozenset({finding.kind}))
    (change,) = incidents.reconcile(app.store, [finding], scope=scope, now=NOW, first_moves={})
    return change.incident.id


def suite_document(name: str, cases: int, *, text: str = "") -> dict[str, Any]:
    scorer = {
        "name": f"same{text}",
        "primary": True,
        "baseline_mean": 1.0,
        "candidate_mean": 0.5,
        "difference": -0.5,
        "interval": [-0.6, -0.4],
        "margin": 0.03,
        "verdict": "regressed",
        "reason": f"worse by 0.5{text}",
        "slices": [
            {
                "name": f"hard{text}",
                "field": f"level{text}",
                "cases": 1,
                "baseline_mean": None,
                "candidate_mean": None,
                "difference": None,
                "interval": None,
                "finding": "worse",
            }
        ],
    }
    return {
        "suite": name,
        "cases": cases,
        "scorers": [scorer],
        "baseline": {"model": f"p/old-1{text}"},
        "candidate": {"model": f"p/new-1{text}"},
        "newly_failing": [],
        "newly_passing": [],
        "errors": [],
    }


def run(
    app: App,
    suites: list[dict[str, Any]],
    answers: dict[str, dict[str, str]],
    *,
    text: str = "",
    run_id: str = RUN,
    repeated: tuple[str, ...] = ("",),
) -> None:
    """A stored verdict; answers are by suite and case, the same on both sides.

    Args:
        repeated: What is put behind the answers of each repeat.
    """
    override = {"by": f"ada{text}", "why": f"accepted{text}", "at": "2026-11-24T10:00:00Z"}
    verdict = runs.StoredVerdict(
        id=run_id,
        kind="upgrade",
        baseline=f"p/old-1{text}",
        candidate=f"p/new-1{text}",
        verdict="regressed" if suites else "inconclusive",
        document={"suites": suites, "override": override},
        decided_at=NOW,
    )
    sides = [(name, side) for name in answers for side in ("baseline", "candidate")]
    with app.store.write() as session:
        for number, (name, side) in enumerate(sides):
            stored = runs.StoredRun(
                id=f"{run_id}-{number}",
                identity=f"i{number}",
                suite=name,
                suite_version="1",
                provider="p",
                model=side,
                prompt=None,
                planned=len(answers[name]),
                status="complete",
                owner=None,
                seen_at=NOW,
                started_at=NOW,
                finished_at=NOW,
            )
            runs.add_run(session, stored, {})
            session.flush()
            attempts = [
                AttemptResult(case_id=case, repeat=repeat, response=f"{answer}{more}", finished_at=NOW)
                for case, answer in answers[name].items()
                for repeat, more in enumerate(repeated)
            ]
            if attempts:
                runs.save_attempts(session, stored.id, attempts, now=NOW)
        runs.add_verdict(session, verdict, [(f"{run_id}-{n}", side) for n, (_, side) in enumerate(sides)], override)


class _Seen(HTMLParser):
    """What a browser would make of a page, as far as it could run or load something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def assert_harmless(page: str) -> _Seen:
    seen = _Seen()
    seen.feed(page)
    assert not {"script", "img", "iframe", "object", "form", "svg"} & set(seen.tags)
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    links = [value for name, value in seen.attributes if name in ("href", "src")]
    assert all(link.startswith(("/", "http://", "https://")) or ":" not in link for link in links), links
    raw = [c for c in page if not c.isprintable() and c not in "\n\t" and unicodedata.category(c) != "Zs"]
    assert not raw, raw
    return seen


# -- every page --------------------------------------------------------------------------------------


def test_every_page_answers_before_anything_happened(client: TestClient) -> None:
    for path in ("/", "/runs", "/runbooks", *(f"/runbooks/{kind}" for kind in KINDS)):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8"), path
        assert_harmless(answer.text)
    assert "None yet" in client.get("/runs").text
    assert client.get("/style.css").headers["content-type"].startswith("text/css")
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json()["status"] == "ok"


def test_an_incident_and_a_run_lead_to_their_pages(client: TestClient, app: App) -> None:
    run(app, [suite_document("facts", 1)], {"facts": {"c1": "four"}})
    incident_id = incident(app, links={"Run": f"/runs/{RUN}"})
    overview = assert_harmless(client.get("/").text)
    hrefs = [value for name, value in overview.attributes if name == "href"]
    assert {f"/incidents/{incident_id}", f"/runs/{RUN}"} <= set(hrefs)
    shown = client.get(f"/incidents/{incident_id}")
    assert shown.status_code == 200
    assert f'href="/runs/{RUN}"' in shown.text
    assert f'href="/runbooks/model-regressed?incident={incident_id}"' in shown.text
    assert "four" in client.get(f"/runs/{RUN}").text


@pytest.mark.parametrize(
    "path", ["/", "/runs/none", "/nothing", "/api/none", "/healthz", "/style.css", "/runs/a?start=x"]
)
def test_nothing_but_our_own_style_may_load_or_run(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["style-src"] == "'self'"
    assert "script-src" not in policy
    assert (policy["frame-ancestors"], policy["base-uri"]) == ("'none'", "'none'")
    assert headers["x-content-type-options"] == "nosniff"


# -- hostile text ----------------------------------------------------------------------------------------


@hostile_texts
def test_hostile_text_of_a_run_stays_text(client: TestClient, app: App, text: str) -> None:
    run(app, [suite_document(f"facts{text}", 1, text=text)], {f"facts{text}": {f"c1{text}": f"said{text}"}}, text=text)
    for path in (f"/runs/{RUN}", "/runs", "/"):
        page = client.get(path)
        assert page.status_code == 200
        seen = assert_harmless(page.text)
        assert visible(text) in seen.text
    assert seen_text(client, f"/runs/{RUN}").count(visible(f"said{text}".replace("\x00", "\ufffd"))) == 2


def visible(text: str) -> str:
    hidden = "\u202e\u2066\u200b\ufeff\x00\x1b\x7f"
    return "".join(f"\\u{ord(c):04x}" if c in hidden else c for c in text)


def seen_text(client: TestClient, path: str) -> str:
    return assert_harmless(client.get(path).text).text


@hostile_texts
def test_hostile_text_of_an_incident_stays_text(client: TestClient, app: App, text: str) -> None:
    case = {"suite": f"facts{text}", "case": f"c1{text}", "why": f"why{text}", "baseline": text, "candidate": text}
    incident_id = incident(
        app,
        subject={"baseline": f"p/old-1{text}", "candidate": f"p/new-1{text}"},
        summary=f"lost{text}",
        evidence={"worst_cases": [case], text: text},
        links={f"Run{text}": f"/runs/{RUN}"},
    )
    for path in ("/", f"/incidents/{incident_id}", f"/runbooks/model-regressed?incident={incident_id}"):
        assert client.get(path).status_code == 200
        assert_harmless(client.get(path).text)
    shown = seen_text(client, f"/incidents/{incident_id}")
    assert visible(f"facts{text} / c1{text}") in shown
    assert visible(f"p/new-1{text}") in shown


@pytest.mark.parametrize(
    "path",
    ["javascript:alert(1)", "//evil.example/", "/\\evil.example", "/\t/evil.example", "https://evil.example", ""],
)
def test_an_incident_links_only_to_pages_of_this_installation(client: TestClient, app: App, path: str) -> None:
    incident_id = incident(app, links={"Run": path})
    assert '<a class="button" href="/">Run</a>' in client.get(f"/incidents/{incident_id}").text


@hostile_texts
def test_hostile_text_of_a_runbook_stays_text(client: TestClient, app: App, text: str) -> None:
    folder = app.settings.runbooks.path
    folder.mkdir()
    front = "---\nfirst_move: |\n  " + "".join(c for c in text if c.isprintable() or c == " ") + "\n---\n"
    (folder / "timeouts.md").write_text(f"{front}# timeouts\n\n{text}\n\n```\n{text}\n```\n")
    for path in ("/runbooks/timeouts", "/runbooks"):
        assert client.get(path).status_code == 200
        assert_harmless(client.get(path).text)
    assert visible(text) in seen_text(client, "/runbooks/timeouts")


def test_hostile_text_of_the_address_stays_text(client: TestClient) -> None:
    for text in HOSTILE.values():
        quoted = "".join(f"%{byte:02x}" for byte in text.encode())
        for path in ("/incidents/", "/runs/", "/runbooks/", "/"):
            answer = client.get(path + quoted)
            assert answer.status_code == 404
            assert_harmless(answer.text)


def test_an_answer_in_another_script_is_readable(client: TestClient, app: App) -> None:
    answer = "日本語　テスト, français : oui, العربية"
    run(app, [suite_document("facts", 1)], {"facts": {"c1": answer}})
    assert answer in seen_text(client, f"/runs/{RUN}")


# -- what is not there -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/incidents/none", "/runs/none", "/runbooks/none", "/runbooks/timeouts?incident=none", "/nothing", "/runs/%25"],
)
def test_what_is_not_there_is_a_plain_page(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "<h1>404</h1>" in answer.text
    assert_harmless(answer.text)


def test_an_api_refusal_has_one_shape(client: TestClient) -> None:
    for answer, status in (
        (client.get("/api/nothing"), 404),
        (client.get("/v1/nothing"), 404),
        (client.delete("/api/requests/none"), 405),
    ):
        assert answer.status_code == status
        assert set(answer.json()) == {"error"}
        assert set(answer.json()["error"]) == {"code", "message", "field"}
        assert answer.json()["error"]["message"]
    assert client.delete("/api/requests/none").headers["allow"] == "GET"


def test_a_store_that_cannot_be_reached_is_a_503_and_no_traceback(tmp_path: Path) -> None:
    store = open_store("postgresql+psycopg://nobody:sekret@127.0.0.1:9/none")
    client = TestClient(make_server(installation(tmp_path, store)))
    for path in ("/", "/runs", f"/runs/{RUN}", "/incidents/1"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (503, "text/html; charset=utf-8")
        assert "the store cannot be reached" in answer.text
        assert "Traceback" not in answer.text
        assert "sekret" not in answer.text
    assert client.get("/healthz").status_code == 200
    assert client.get("/runbooks").status_code == 200  # needed most when things are broken
    store.close()


# -- runbooks and runs -------------------------------------------------------------------------------------------


def test_a_runbook_opened_from_an_incident_carries_its_names(client: TestClient, app: App) -> None:
    plain = seen_text(client, "/runbooks/model-regressed")
    assert "upgrade --from {baseline} --to {candidate}" in plain
    incident_id = incident(app)
    filled = seen_text(client, f"/runbooks/model-regressed?incident={incident_id}")
    assert "upgrade --from p/old-1 --to p/new-1" in filled
    assert f"watchkeeper incidents show {incident_id}" in filled
    assert "Keep p/old-1 pinned" in filled
    assert "{baseline}" not in filled
    assert "lost 9 points" in filled


def test_the_teams_own_runbook_wins(client: TestClient, app: App) -> None:
    folder = app.settings.runbooks.path
    folder.mkdir()
    (folder / "timeouts.md").write_text("---\nfirst_move: Call `Ada`.\n---\n# ours\n\nAsk **Ada**.\n")
    page = client.get("/runbooks/timeouts").text
    assert "<strong>Ada</strong>" in page
    assert "Call <code>Ada</code>." in client.get("/runbooks").text


def cases_shown(page: str) -> list[str]:
    return [part.split("</code>")[0] for part in page.split("<tr><td><code>")[1:]]


@pytest.fixture
def many(client: TestClient, app: App) -> TestClient:
    """A run of two suites: 120 cases, and one."""
    facts = suite_document("facts & more", 120)
    facts |= {"newly_failing": ["c119"], "newly_passing": ["c118"], "errors": [{"case": "c117", "side": "candidate"}]}
    answers = {"facts & more": {f"c{n:03}": f"answer {n}" for n in range(120)}, "one": {"only": "yes"}}
    run(app, [facts, suite_document("one", 1)], answers)
    return client


def test_the_cases_of_a_run_are_shown_in_pages_those_that_changed_first(many: TestClient) -> None:
    path, found = f"/runs/{RUN}?suite=facts%20%26%20more", list[str]()
    sizes = []
    while path:
        page = many.get(path)
        assert page.status_code == 200
        found += (cases := cases_shown(page.text))
        sizes.append(len(cases))
        seen = _Seen()
        seen.feed(page.text)
        path = next((value for name, value in seen.attributes if name == "href" and "start=" in value), "")
    assert sizes == [50, 50, 20]
    assert found[:3] == ["c119", "c117", "c118"]
    assert sorted(found) == [f"c{n:03}" for n in range(120)]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("start=-5", "Cases 1 to 50 of 120."),
        ("start=99999", "Cases 101 to 120 of 120."),
        ("suite=unknown", "Cases 1 to 50 of 120."),
        ("suite=unknown&start=50", "Cases 51 to 100 of 120."),
        ("suite=one", "Cases 1 to 1 of 1."),
        ("suite=one&start=50", "Cases 1 to 1 of 1."),
        ("suite=", "Cases 1 to 50 of 120."),
        ("start=" + "9" * 30, "Cases 101 to 120 of 120."),
    ],
)
def test_an_odd_query_shows_the_nearest_cases(many: TestClient, query: str, says: str) -> None:
    page = many.get(f"/runs/{RUN}?{query}")
    assert page.status_code == 200
    assert says in page.text


@pytest.mark.parametrize("start", ["abc", "1.5", "", "9" * 5000])
def test_a_start_that_is_no_number_is_a_plain_page(many: TestClient, start: str) -> None:
    answer = many.get(f"/runs/{RUN}?start={start}")
    assert (answer.status_code, answer.headers["content-type"]) == (422, "text/html; charset=utf-8")
    assert "<p>start: " in answer.text


def test_every_repeat_of_a_case_is_shown_in_order_and_labelled(client: TestClient, app: App) -> None:
    run(app, [suite_document("facts", 1)], {"facts": {"c1": "four"}}, repeated=("", " and", " five"))
    shown = seen_text(client, f"/runs/{RUN}")
    places = [shown.index(said) for said in ("1 of 3four", "2 of 3four and", "3 of 3four five")]
    assert places == sorted(places)
    assert [shown.count(f"{n} of 3") for n in (1, 2, 3)] == [2, 2, 2]


def test_a_case_asked_once_has_no_label(client: TestClient, app: App) -> None:
    run(app, [suite_document("facts", 1)], {"facts": {"c1": "four"}})
    assert "1 of 1four" not in seen_text(client, f"/runs/{RUN}")


def test_a_run_without_suites_or_cases_is_a_page_too(client: TestClient, app: App) -> None:
    run(app, [], {})
    run(app, [suite_document("empty", 0)], {"empty": {}}, run_id="028f0000000000000000000002")
    assert client.get(f"/runs/{RUN}").status_code == 200
    assert "No cases." in client.get("/runs/028f?start=50").text


def test_a_run_is_found_by_the_beginning_of_its_id(client: TestClient, app: App) -> None:
    run(app, [], {})
    assert client.get("/runs/018f").status_code == 200
    assert client.get("/runs/_18f").status_code == 404


# -- a real browser ------------------------------------------------------------------------------------------------

CHROMIUM = shutil.which("chromium")


@contextmanager
def served(app: App) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(make_server(app), port=0, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_runs_nothing_of_hostile_answers(app: App, tmp_path: Path) -> None:
    answers = {f"c{n} {text}": text for n, text in enumerate(HOSTILE.values())}
    run(app, [suite_document("facts", len(answers), text=ALL)], {"facts": answers}, text=ALL)
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync"
    )
    with served(app) as url:
        command = [
            str(CHROMIUM),
            *flags.split(),
            f"--user-data-dir={tmp_path}/browser",
            "--dump-dom",
            f"{url}/runs/{RUN}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    dom = done.stdout
    assert "cases side by side" in dom, done.stderr[-2000:]
    title = dom.partition("<title>")[2].partition("</title>")[0]
    assert title.endswith("· watchkeeper")  # a script that ran would have put "owned" there
    seen = _Seen()
    seen.feed(dom)
    assert not {"script", "img"} & set(seen.tags)
    assert seen.text.count(HOSTILE["script"]) >= 3
