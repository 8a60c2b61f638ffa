"""Load, ask, decide, save: a whole check from suites to a stored verdict."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from watchkeeper.cost.own_calls import price_by
from watchkeeper.cost.prices import PriceList
from watchkeeper.cost.rates import Override
from watchkeeper.database.engine import Store
from watchkeeper.evaluation import service as evaluation
from watchkeeper.evaluation.judgement import Judgement, Vote
from watchkeeper.evaluation.material import Item
from watchkeeper.evaluation.rubric import Rubric
from watchkeeper.foundation.clock import Clock
from watchkeeper.foundation.collector import calm_collector
from watchkeeper.foundation.errors import Conflict, NotFound
from watchkeeper.foundation.ids import new_id
from watchkeeper.foundation.lease import this_process
from watchkeeper.observability.redact import Policy
from watchkeeper.providers.connect import ProviderConfig, connect
from watchkeeper.providers.interface import ChatModel
from watchkeeper.providers.outage import ProviderFailed
from watchkeeper.regression import lease, store
from watchkeeper.regression.attempt import AttemptResult, Attempts
from watchkeeper.regression.compare import score_suite
from watchkeeper.regression.judged import Judgements, cost_of, judge_suite, rubrics_of, with_judgements
from watchkeeper.regression.report import Side, SuiteOutcome, as_document, decide
from watchkeeper.regression.runner import FEWEST_OUTAGES, Asking, RunProgress, ask_all
from watchkeeper.regression.store import StoredRun, StoredVerdict
from watchkeeper.regression.suite import Suite, identity, messages_of
from watchkeeper.regression.target import Comparing, Target, providers_of, verify_models
from watchkeeper.stats.paired import prepare

OnProgress = Callable[[Sequence[RunProgress]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    id: str
    target: Target
    asking: Sequence[Asking]
    reused: bool


async def check(
    opened: Store,
    comparing: Sequence[Comparing],
    *,
    kind: str,
    providers: Mapping[str, ProviderConfig],
    clock: Clock,
    fresh: bool = False,
    override: Mapping[str, str] | None = None,
    on_progress: OnProgress | None = None,
    overrides: Sequence[Override] = (),
    policy: Policy | None = None,
    connect_to: Callable[[ProviderConfig], ChatModel] = connect,
) -> dict[str, Any]:
    """Run what is not yet known, compare, decide, store the verdict.

    Args:
        kind: "upgrade" or "check".
        fresh: Never reuse nor resume an earlier run.
        override: {"by", "why", "at"}: a regression is recorded as overridden and exits 0.
        overrides: Negotiated prices; they win over the list's.
        policy: What is taken out of the records of judges' calls before they are stored.

    Returns:
        The document of INTERFACES section 4.

    Raises:
        NotFound: If a provider does not know a model, or a rubric names a provider that is not configured.
        ProviderFailed: If a provider gave no answers; the runs can go on later.
        Conflict: If another process is filling one of the runs now.
        StoreFailed: If the store fails; attempts already stored stay.
    """
    judging = [rubric for each in comparing for rubric in rubrics_of(each.candidate.suite)]
    chats = {name: connect_to(providers[name]) for name in providers_of(comparing, judging, providers)}
    claimed: list[_Run] = []
    try:
        await verify_models(comparing, judging, chats)
        with opened.write() as session:
            for each in comparing:
                for side, target in (("baseline", each.baseline), ("candidate", each.candidate)):
                    claimed.append(_claim(session, target, side, fresh=fresh, clock=clock, taken=claimed))
        prices = {name: PriceList(providers[name].base_url, provider=name, overrides=overrides) for name in chats}
        preparing = asyncio.create_task(asyncio.to_thread(_prepare, comparing))
        with calm_collector():
            progress = await _ask(opened, claimed, chats, providers, prices, clock, on_progress)

            async def ask_judge(rubric: Rubric, items: Sequence[Item]) -> Sequence[Judgement]:
                state = RunProgress(label=f"judge {rubric.name}", planned=len(items) * rubric.votes)
                progress.append(state)

                def on_votes(votes: Sequence[Vote]) -> None:
                    state.add_votes(votes)
                    if on_progress:
                        on_progress(progress)

                return await evaluation.judge(
                    opened,
                    items,
                    rubric=rubric,
                    chat=chats[rubric.provider],
                    provider=providers[rubric.provider],
                    price=price_by(prices[rubric.provider], rubric.model_name, clock),
                    clock=clock,
                    policy=policy,
                    fresh=fresh,
                    on_votes=on_votes,
                )

            sides = _sides(opened, claimed)
            judgements = [
                await judge_suite(each.candidate.suite, [side.attempts for side in pair], ask_judge)
                for each, pair in zip(comparing, sides, strict=True)
            ]
        await preparing
    finally:
        _release(opened, claimed, clock)
        await asyncio.gather(*(chat.aclose() for chat in chats.values()))
    outcomes = [
        _outcome(each.candidate.suite, pair, found)
        for each, pair, found in zip(comparing, sides, judgements, strict=True)
    ]
    return _decide(opened, comparing, claimed, outcomes, kind=kind, override=override, clock=clock)


def verdicts(opened: Store, *, limit: int = 50) -> list[StoredVerdict]:
    """The newest verdicts first."""
    with opened.read() as session:
        return store.verdicts(session, limit=limit)


def verdict(opened: Store, verdict_id: str) -> StoredVerdict:
    """One verdict, by its id or a unique beginning of it.

    Raises:
        NotFound: If there is none.
    """
    with opened.read() as session:
        found = store.verdict_by_id(session, verdict_id) if verdict_id else None
        known = [] if found else [v.id for v in store.verdicts(session, limit=20)]
    if found is None:
        raise NotFound("run", verdict_id, known)
    return found


def attempts_of_verdict(opened: Store, verdict_id: str) -> dict[tuple[str, str], Attempts]:
    """The attempts behind a verdict, by (suite, side)."""
    with opened.read() as session:
        runs = store.runs_of_verdict(session, verdict_id)
        return {(run.suite, side): store.attempts_of(session, run.id) for run, side in runs}


def _claim(session: Any, target: Target, side: str, *, fresh: bool, clock: Clock, taken: Sequence[_Run]) -> _Run:
    """The run to fill: one to reuse, one to go on with, or a new one."""
    suite, now = target.suite, clock.now()
    asked = [(case.id, messages_of(suite.template, case)) for case in suite.cases]
    key = identity(suite, provider=target.provider, model=target.model, asked=asked)
    everything = [
        Asking(case_id=case_id, repeat=repeat, messages=messages)
        for repeat in range(suite.repeats)
        for case_id, messages in asked
    ]
    mine = {run.id for run in taken}
    for run in [] if fresh else store.runs_of(session, key):
        if run.id in mine:
            continue
        if run.status == "complete":
            # A baseline is what is already known; a candidate is judged on answers of its own.
            if side == "baseline" or not store.was_judged(session, run.id):
                return _Run(id=run.id, target=target, asking=(), reused=True)
            continue
        if run.status == "running" and not lease.is_free(run.owner, run.seen_at, now=now):
            raise Conflict(
                f"another process is running suite {suite.name!r} on {target.name} (run {run.id}); "
                "wait for it, or start apart with --fresh"
            )
        had = store.attempts_of(session, run.id)
        store.set_run(session, run.id, status="running", owner=this_process(), now=now)
        open_questions = [a for a in everything if not _answered(had, a)]
        return _Run(id=run.id, target=target, asking=open_questions, reused=False)
    run_id = new_id()
    store.add_run(
        session,
        StoredRun(
            id=run_id,
            identity=key,
            suite=suite.name,
            suite_version=suite.version,
            provider=target.provider,
            model=target.model,
            prompt=suite.prompt,
            planned=len(everything),
            status="running",
            owner=this_process(),
            seen_at=now,
            started_at=now,
            finished_at=None,
        ),
        dict(suite.params),
    )
    return _Run(id=run_id, target=target, asking=everything, reused=False)


def _answered(had: Attempts, asking: Asking) -> bool:
    attempt = had.get((asking.case_id, asking.repeat))
    return attempt is not None and attempt.response is not None


async def _ask(
    opened: Store,
    runs: Sequence[_Run],
    chats: Mapping[str, ChatModel],
    providers: Mapping[str, ProviderConfig],
    prices: Mapping[str, PriceList],
    clock: Clock,
    on_progress: OnProgress | None,
) -> list[RunProgress]:
    """Fill every run at once; each provider's own limit keeps the calls apart."""
    progress = [
        RunProgress(label=f"{run.target.suite.name} on {run.target.name}", planned=len(run.asking))
        for run in runs
        if run.asking
    ]

    async def fill(run: _Run, state: RunProgress) -> None:
        def save(batch: list[AttemptResult]) -> None:
            with opened.write() as session:
                store.save_attempts(session, run.id, batch, now=clock.now())
            if on_progress:
                on_progress(progress)

        await ask_all(
            run.asking,
            provider=run.target.provider,
            model=run.target.model,
            chat=chats[run.target.provider],
            params=run.target.suite.params,
            concurrency=providers[run.target.provider].concurrency,
            price=price_by(prices[run.target.provider], run.target.model, clock),
            save=save,
            progress=state,
            clock=clock,
        )
        missing = sum(state.missing.values())
        if missing and (missing == state.done or state.outages >= FEWEST_OUTAGES):
            what, _ = state.missing.most_common(1)[0]
            heard = "answered none" if missing == state.done else f"left {missing}"
            raise ProviderFailed(
                run.target.provider,
                f"provider {run.target.provider!r} {heard} of {state.done} calls to {run.target.model} "
                f"{'' if missing == state.done else 'unanswered and is gone '}({what}); "
                "the same command, without --fresh, goes on from here",
            )

    tasks = [
        asyncio.ensure_future(fill(run, state))
        for run, state in zip((r for r in runs if r.asking), progress, strict=True)
    ]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return progress


def _prepare(comparing: Sequence[Comparing]) -> None:
    """While the answers come: what the verdict will need."""
    for each in comparing:
        suite = each.candidate.suite
        for scorer in suite.scorers:
            prepare(len(suite.cases), scorer.margin)


def _release(opened: Store, runs: Sequence[_Run], clock: Clock) -> None:
    """Give the runs back, each marked by whether every question has its answer."""
    filled = [run for run in runs if run.asking or not run.reused]
    if not filled:
        return
    with opened.write() as session:
        for run in filled:
            planned = len(run.target.suite.cases) * run.target.suite.repeats
            status = "complete" if store.count_answers(session, run.id) >= planned else "incomplete"
            store.set_run(session, run.id, status=status, owner=None, now=clock.now())


def _decide(
    opened: Store,
    comparing: Sequence[Comparing],
    runs: Sequence[_Run],
    outcomes: Sequence[SuiteOutcome],
    *,
    kind: str,
    override: Mapping[str, str] | None,
    clock: Clock,
) -> dict[str, Any]:
    document = as_document(new_id(), decide(outcomes), override=override)
    stored = StoredVerdict(
        id=document["run_id"],
        kind=kind,
        baseline=_label(comparing, "baseline"),
        candidate=_label(comparing, "candidate"),
        verdict=document["verdict"],
        document=document,
        decided_at=clock.now(),
    )
    sides_of = [
        (run.id, side)
        for pair in zip(runs[::2], runs[1::2], strict=True)
        for run, side in zip(pair, ("baseline", "candidate"), strict=True)
    ]
    with opened.write() as session:
        store.add_verdict(session, stored, sides_of, document["override"])
    return document


def _sides(opened: Store, runs: Sequence[_Run]) -> list[tuple[Side, Side]]:
    with opened.read() as session:
        found = [
            Side(
                model=run.target.name,
                prompt=run.target.suite.prompt,
                run_id=run.id,
                reused=run.reused,
                attempts=store.attempts_of(session, run.id),
            )
            for run in runs
        ]
    return list(zip(found[::2], found[1::2], strict=True))


def _outcome(suite: Suite, sides: tuple[Side, Side], judgements: Judgements) -> SuiteOutcome:
    baseline, candidate = sides
    judged = with_judgements(suite, judgements)
    return SuiteOutcome(
        suite=suite,
        baseline=baseline,
        candidate=candidate,
        results=score_suite(judged, baseline.attempts, candidate.attempts),
        judge=cost_of(judgements),
    )


def _label(comparing: Sequence[Comparing], side: str) -> str:
    names = dict.fromkeys(
        target.name + (f" with {target.suite.prompt}" if target.suite.prompt else "")
        for target in (getattr(each, side) for each in comparing)
    )
    return ", ".join(names)


def with_prompt(suite: Suite, *, template: str, prompt: str) -> Suite:
    """The same suite asked with another prompt version."""
    return replace(suite, template=template, prompt=prompt)
