"""SIMULATED: a week of the application's requests, and two versions of a model that nobody runs.

    python simulate.py FOLDER [--seed N] [--end INSTANT]

writes into FOLDER, the same bytes for the same arguments, with the standard library only:

- traffic.jsonl: requests as in docs/interfaces.md section 1, `source` is "demo";
- recordings-old.jsonl, recordings-new.jsonl: for every case of both suites what desk-2026-09 and
  desk-2026-11 "answered", as in section 2. The new model knows as much, is faster and cheaper,
  but it likes to put its JSON into a Markdown fence. Nobody is told.
"""

import argparse
import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import desk
import messages
from messages import Message

_END = "2026-11-25T06:00:00Z"  # fixed, so that the bytes depend on the arguments alone
_TICKETS = 1010
_DAYS = 7
_HOUR_WEIGHTS = (2, 1, 1, 1, 1, 3, 8, 16, 28, 38, 42, 40, 34, 36, 40, 38, 32, 28, 26, 28, 26, 18, 10, 5)
_TIMEOUT_MS = 30_000.0
_SHOWCASE = "delivery-01"  # the message of README.md: right on both models but for the fence

Row = dict[str, Any]


@dataclass(frozen=True)
class Model:
    """A model that does not exist.

    Attributes:
        malformed: Share of triage answers that are not bare JSON.
        lost: Answers of the suite that forget the order number.
        speed: Factor on its latency.
        usd_per_million: Price of input and of output tokens.
    """

    name: str
    malformed: float
    lost: int
    speed: float
    usd_per_million: tuple[float, float]


OLD = Model("desk-2026-09", malformed=0.03, lost=2, speed=1.0, usd_per_million=(2.0, 8.0))
NEW = Model("desk-2026-11", malformed=0.85, lost=1, speed=0.7, usd_per_million=(1.2, 4.8))

_REPLIES: Mapping[str, tuple[str, ...]] = {
    "delivery": (
        "I am sorry about the wait for order {order}. It usually takes three to five working days, and a parcel that "
        "has not moved for five working days is traced by us. If it cannot be found we send the {item} again at no "
        "cost.",
        "Thank you for asking about {order}. I have looked at the parcel with your {item}: we start a search once it "
        "has not moved for five working days. Should the carrier not find it, you get a new one free of charge.",
    ),
    "return": (
        "Of course you can send the {item} of order {order} back within 30 days, unused and in its box. You will find "
        "the label in your account under Orders. The money comes back to you within ten days of arrival.",
        "I understand, and I am happy to help with {order}. Please use the return label under Orders in your account. "
        "We pay back within ten days after the {item} has reached us.",
    ),
    "billing": (
        "I am sorry for the trouble with the payment for order {order}. A second charge is usually a reservation that "
        "the bank releases within five working days. If it is still there then, we refund it the same day.",
        "Thank you for writing about {order}. Your invoice can be downloaded in your account under Orders, and a "
        "double charge is released within five working days. If it is not, we refund it on the same day.",
    ),
    "account": (
        "You can ask for a new sign-in link with the e-mail address of any order, and it is valid for 30 minutes. "
        "The address is changed in your account under Profile.",
    ),
    "product": (
        "I am sorry about your {item} from order {order}. We send missing or damaged parts free of charge within "
        "three working days. The guarantee is two years from delivery.",
        "Thank you for telling us about {order}. The instructions for the {item} are on its product page under "
        "Downloads, and parts are replaced at no cost within three working days.",
    ),
}


def judged(random_: random.Random, made: Message) -> dict[str, str]:
    """How a model sorts a message: mostly right, and the same for both models."""
    category, priority = made.category, made.priority
    if random_.random() < 0.05:
        category = random_.choice(desk.CATEGORIES)
    if random_.random() < 0.08:
        priority = random_.choice(("low", "normal", "high"))
    return {"category": category, "priority": priority}


def triage_answer(random_: random.Random, model: Model, sorted_as: Row, *, malformed: bool) -> str:
    """What a model answers to support.triage."""
    if not malformed:
        return json.dumps(sorted_as)
    if model is NEW:
        lead = random_.choice(("", "", "", "", "Here is the ticket, sorted:\n\n"))
        return f"{lead}```json\n{json.dumps(sorted_as, indent=2)}\n```"
    in_words = "Category: {category}\nPriority: {priority}".format(**sorted_as)
    return random_.choice((in_words, f"{json.dumps(sorted_as)}\n\nThe customer should be answered soon."))


def reply(random_: random.Random, made: Message, *, lost: bool) -> str:
    """What a model answers to support.answer; a lost one forgets the order number."""
    order = desk.orders().get(made.order or "")
    text = random_.choice(_REPLIES[made.category])
    if order is None or lost:
        text = text.replace("order {order}", "your order").replace("{order}", "your order")
    return text.format(order=made.order, item=order["item"] if order else "goods")


def tokens(text: str) -> int:
    """About as many tokens as a tokenizer would count."""
    return max(1, math.ceil(len(text) / 4))


def latency_ms(random_: random.Random, route: str, model: Model, answer: str) -> float:
    """A first token after a while, then the rest of the answer; a long tail, as providers have."""
    first = random_.lognormvariate(math.log(330 if route == "triage" else 480), 0.35)
    return round(model.speed * (first + tokens(answer) * random_.uniform(9, 14)), 1)


def recordings(model: Model, seed: int) -> Iterator[Row]:
    """One call for every case of both suites."""
    random_ = random.Random(f"{seed}/recordings/{model.name}")
    triage, answer = _cases("triage"), _cases("answer")
    malformed = _some(random_, triage, round(model.malformed * len(triage)))
    if model is NEW:
        malformed = {_SHOWCASE, *sorted(malformed)[1:]}
    lost = _some(random.Random(f"{seed}/lost"), answer, model.lost)  # hard questions are hard for both
    for case in triage:
        made = _message(case)
        sorted_as = {"category": made.category, "priority": made.priority}
        if case["id"] != _SHOWCASE:
            sorted_as = judged(random.Random(f"{seed}/judged/{case['id']}"), made)
        text = triage_answer(random_, model, sorted_as, malformed=case["id"] in malformed)
        yield _recording(random_, model, "triage", case, desk.render("triage", input=case["input"]), text)
    for case in answer:
        prompt = desk.render("answer", **{name: case[name] for name in ("input", "order", "article")})
        text = reply(random_, _message(case), lost=case["id"] in lost)
        yield _recording(random_, model, "answer", case, prompt, text)


def _some(random_: random.Random, cases: Sequence[Row], count: int) -> set[str]:
    """The ids of exactly `count` cases, README's own never among them; fewer are part of more."""
    ids = [case["id"] for case in cases if case["id"] != _SHOWCASE]
    random_.shuffle(ids)
    return set(ids[:count])


def _recording(random_: random.Random, model: Model, route: str, case: Row, prompt: str, text: str) -> Row:
    usage = {"input": tokens(prompt), "output": tokens(text), "cache_read": 0, "cache_write": 0, "reasoning": 0}
    price_in, price_out = model.usd_per_million
    return {
        "provider": "desk",
        "model": model.name,
        "case_id": f"{route}/{case['id']}",
        "prompt": prompt,
        "params": desk.PARAMS[route],
        "response": text,
        "finish_reason": "stop",
        "usage": usage,
        "latency_ms": latency_ms(random_, route, model, text),
        "cost_usd": round((usage["input"] * price_in + usage["output"] * price_out) / 1e6, 9),
    }


def _cases(suite: str) -> list[Row]:
    text = (desk.HOME / "suites" / suite / "cases.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def _message(case: Row) -> Message:
    return Message(case["input"], case["category"], case.get("priority", "normal"), desk.order_number(case["input"]))


def traffic(seed: int, end: datetime) -> list[Row]:
    """The requests of the week before `end`, oldest first."""
    random_ = random.Random(f"{seed}/traffic")
    rows = [row for number in range(_TICKETS) for row in _ticket(random_, number, _arrival(random_, end))]
    return sorted(rows, key=lambda row: (row["started_at"], row["trace_id"]))


def _arrival(random_: random.Random, end: datetime) -> datetime:
    """Busy at ten and at two, quiet at night, half as busy on a weekend."""
    while True:
        at = end - timedelta(seconds=random_.uniform(120, _DAYS * 86_400))
        weight = _HOUR_WEIGHTS[at.hour] * (0.5 if at.weekday() >= 5 else 1.0)
        if random_.random() * max(_HOUR_WEIGHTS) < weight:
            return at


def _ticket(random_: random.Random, number: int, at: datetime) -> Iterator[Row]:
    """One ticket: sorted, and if that worked, answered."""
    made = messages.message(random_, random_.choices(desk.CATEGORIES, (40, 20, 18, 10, 12))[0])
    shared = {
        "source": "demo",
        "segment": "pro" if random_.random() < 0.3 else "free",
        "session_id": f"s-{_hex(random_, 40)}",
        "job_id": f"ticket-{number + 24_001}",
        "environment": "production",
        "release": "2026.11.3",
        "input": made.text,
    }
    malformed = random_.random() < OLD.malformed
    text = triage_answer(random_, OLD, judged(random_, made), malformed=malformed)
    first = _request(random_, "triage", at, shared, desk.render("triage", input=made.text), text)
    yield first
    if first["error_type"] is None:
        yield _answer(random_, made, at + timedelta(milliseconds=first["latency_ms"] + 40), shared)


def _answer(random_: random.Random, made: Message, at: datetime, shared: Row) -> Row:
    article, order = desk.article_for(made.category), desk.order_text(made.order)
    prompt = desk.render("answer", input=made.text, order=order, article=article["text"])
    row = _request(random_, "answer", at, shared, prompt, reply(random_, made, lost=random_.random() < 0.015))
    documents = [] if random_.random() < 0.02 else _found(random_, made.category)
    row["retrievals"] = [{"span_id": _hex(random_, 64), "documents": documents}]
    if made.order:
        arguments = {"number": made.order}
        call = {"name": "lookup_order", "arguments": arguments, "result": order, "error_type": None}
        row["tool_calls"] = [{"span_id": _hex(random_, 64), **call}]
    if row["error_type"] is None and random_.random() < 0.08:
        row["feedback"] = [_thumb(random_, at)]
    return row


def _found(random_: random.Random, category: str) -> list[Row]:
    other = random_.choice([name for name in desk.CATEGORIES if name != category])
    right, wrong = random_.uniform(0.71, 0.93), random_.uniform(0.31, 0.6)
    return [
        {"id": desk.article_for(category)["id"], "score": round(right, 2)},
        {"id": desk.article_for(other)["id"], "score": round(wrong, 2)},
    ]


def _thumb(random_: random.Random, at: datetime) -> Row:
    value = 1 if random_.random() < 0.78 else -1
    comment = random_.choice((None, "did not answer my question", "I want to talk to a person")) if value < 0 else None
    when = at + timedelta(seconds=random_.uniform(40, 3_000))
    return {"kind": "thumb", "value": value, "comment": comment, "at": _instant(when)}


def _request(random_: random.Random, route: str, at: datetime, shared: Row, prompt: str, text: str) -> Row:
    calls = _calls(random_, route, prompt, text)
    last = calls[-1]
    waited = sum(call["latency_ms"] for call in calls)
    return {
        "trace_id": _hex(random_, 128),
        "span_id": _hex(random_, 64),
        "started_at": _instant(at),
        "route": f"support.{route}",
        **shared,
        "prompt": {"id": route, "version": desk.PROMPTS[route]},
        "response": last["response"],
        "error_type": last["error_type"],
        "ttft_ms": last["ttft_ms"],
        "latency_ms": round(waited + random_.uniform(4, 30), 1),
        "calls": calls,
        "attributes": {"simulated": True},
    }


def _calls(random_: random.Random, route: str, prompt: str, text: str) -> list[Row]:
    """Mostly one call that works; now and then a refused one before it, or one that never ends."""
    drawn = random_.random()
    if drawn < 0.004:
        return [_failed(random_, route, prompt, "timeout", _TIMEOUT_MS)]
    if drawn < 0.006:
        return [_failed(random_, route, prompt, "overloaded", 210.0) for _ in range(3)]
    tried = [_failed(random_, route, prompt, "rate_limited", 95.0)] if drawn < 0.015 else []
    took = latency_ms(random_, route, OLD, text)
    done = {
        "model_served": OLD.name,
        "response": text,
        "finish_reason": "stop",
        "usage": {"input": tokens(prompt), "output": tokens(text), "cache_read": 0, "cache_write": 0, "reasoning": 0},
        "ttft_ms": round(took * random_.uniform(0.35, 0.6), 1),
        "latency_ms": took,
    }
    return [*tried, {**_call(random_, route, prompt), **done}]


def _failed(random_: random.Random, route: str, prompt: str, error_type: str, took: float) -> Row:
    return {**_call(random_, route, prompt), "error_type": error_type, "latency_ms": took}


def _call(random_: random.Random, route: str, prompt: str) -> Row:
    return {
        "span_id": _hex(random_, 64),
        "provider": "desk",
        "model_requested": OLD.name,
        "model_served": None,
        "params": desk.PARAMS[route],
        "messages": [{"role": "user", "content": prompt}],
        "response": None,
        "finish_reason": None,
        "usage": {},
        "ttft_ms": None,
        "latency_ms": None,
        "error_type": None,
        "cost_usd": None,  # the store prices calls itself
    }


def _hex(random_: random.Random, bits: int) -> str:
    return f"{random_.getrandbits(bits):0{bits // 4}x}"


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def main() -> None:
    """Write the three files."""
    parser = argparse.ArgumentParser(description="Simulate a week of traffic and two model versions.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--end", default=_END, help=f"the instant the week ends, default {_END}")
    asked = parser.parse_args()
    end = datetime.fromisoformat(asked.end).astimezone(UTC)
    asked.folder.mkdir(parents=True, exist_ok=True)
    messages.write_lines(asked.folder / "traffic.jsonl", traffic(asked.seed, end))
    messages.write_lines(asked.folder / "recordings-old.jsonl", recordings(OLD, asked.seed))
    messages.write_lines(asked.folder / "recordings-new.jsonl", recordings(NEW, asked.seed))
    print(f"SIMULATED, seed {asked.seed}: traffic and recordings are in {asked.folder}")


if __name__ == "__main__":
    main()
