"""SIMULATED customers: what they write, and how a careful person would sort it. Standard library only.

    python messages.py

writes orders.jsonl and the cases of both suites again, always the same ones (fixed seed).
"""

import json
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import desk

_SEED = 1042
_TRIAGE_PER_CATEGORY = 40
_ANSWER_PER_CATEGORY = 30
_ANSWERED = ("delivery", "return", "billing", "product")  # here every message names its order
_FIRST = "My order A-1042 has not arrived"  # the message of README.md

_ITEMS = (
    "walnut desk lamp", "oak side table", "linen sofa cover", "standing desk", "bookshelf with five boards",
    "pair of bar stools", "wool rug 160 x 230", "children's bunk bed", "office chair", "shoe cabinet",
    "folding garden table", "wall mirror", "chest of drawers", "bedside lamp", "coat rack", "dining chair set",
)  # fmt: skip
_SHIPPED = ("shipped on 12 November", "shipped on 17 November", "shipped on 19 November", "packed, not yet shipped")
_DELIVERED = ("delivered on 2 November", "delivered on 9 November", "delivered on 14 November")

# Category -> (what is written, its priority). {order} and {item} come from the order.
_TEXTS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "delivery": (
        ("where is my {item}? order {order}, tracking has said 'in transit' for days", "normal"),
        ("Order {order} should have been here last week. Nobody rang, there is no card in the letterbox.", "normal"),
        ("The carrier says {order} was delivered. It was not. I have been at home all day.", "high"),
        ("Could you tell me when {order} ({item}) will ship?", "low"),
        ("Your driver left the {item} in the rain, order no. {order}. Is this how you always do it?", "normal"),
        ("Only one of two parcels came for {order}. The rest of the {item} is missing.", "normal"),
        ("I am moving out on Friday and {order} still has not left your warehouse. What now??", "high"),
        ("can i change the delivery address of {order} pls, we moved", "normal"),
        ("Is it possible to have the {item} from order {order} delivered after 6 pm?", "low"),
        ("Meine Bestellung {order} ist immer noch nicht da. Wo bleibt das Paket?", "normal"),
    ),
    "return": (
        ("I'd like to send the {item} back, order {order}. It does not fit our living room.", "normal"),
        ("How do I get a return label for {order}?", "low"),
        ("Sent {order} back three weeks ago. Still no refund. That's a lot of money for me.", "high"),
        ("the {item} is lovely but the colour is nothing like the photo. return please. {order}", "normal"),
        ("Wrong {item}! I ordered the grey one. Order {order}.", "normal"),
        ("Can I return {order} without the box? We already threw it away, sorry.", "low"),
        ("Parcel shop refuses my return for {order}, says the label has expired. My 30 days end tomorrow.", "high"),
        ("What happens if I only send back one part of {order}?", "low"),
        ("Je voudrais renvoyer la commande {order}, le produit ne me convient pas.", "normal"),
    ),
    "billing": (
        ("I was charged twice for {order}. Please fix this today, my account is overdrawn.", "high"),
        ("Please send me an invoice with VAT for order {order}.", "low"),
        ("why is the total of {order} higher than in the basket?? {item} was on offer", "normal"),
        ("I paid {order} by bank transfer on Monday and still get reminders.", "normal"),
        ("You sent order {order} to a collection agency although it is paid. I have the receipt!", "high"),
        ("The voucher I entered for {order} was not taken off.", "normal"),
        ("Can the invoice for {order} be made out to my company instead?", "low"),
        ("There's a second charge on my card next to {order}, same amount as the {item}", "high"),
        ("Me han cobrado dos veces el pedido {order}. ¿Pueden devolverme el dinero?", "high"),
    ),
    "account": (
        ("I can't log in any more, the link in the mail does nothing.", "high"),
        ("How do I change my e-mail address? The old one stops working at the end of the month.", "normal"),
        ("please delete my account and everything you store about me", "normal"),
        ("Where in my account do I find {order}? I only see older orders.", "low"),
        ("Somebody else's order is in my account ({order}, a {item}). I never bought that!", "high"),
        ("Your newsletter keeps coming although I unsubscribed twice.", "low"),
        ("I ordered {order} as a guest, can I add it to my account afterwards?", "low"),
        ("no sign-in mail arrives, checked spam too", "high"),
        ("Ich komme nicht mehr in mein Konto, der Link ist abgelaufen.", "high"),
    ),
    "product": (
        ("Two screws are missing for the {item}, order {order}.", "normal"),
        ("The {item} from {order} arrived with a deep scratch across the top.", "normal"),
        ("Does the {item} (order {order}) hold 40 kg? The page doesn't say.", "low"),
        ("After two weeks one leg of the {item} broke and my son fell. Order {order}.", "high"),
        ("Where are the assembly instructions for the {item}? {order}. The booklet is in Polish.", "low"),
        ("order {order}: the {item} smells strongly of paint even after a week outside. is that safe?", "normal"),
        ("Is there a matching second {item}? I'd like the same batch as {order}.", "low"),
        ("Third time I write: the replacement part for {order} was wrong AGAIN.", "high"),
        ("La lampe de la commande {order} ne s'allume pas du tout.", "normal"),
    ),
}
_OPENINGS = ("", "", "", "Hi, ", "Hello! ", "Good morning, ", "Dear team, ", "hey, ")
_CLOSINGS = ("", "", "", " Thanks!", " Thank you, {name}", " Best, {name}", "\n\nSent from my phone", " Please advise.")
_NAMES = ("Mara", "J. Okafor", "Tom", "Frau Lindner", "Aiko", "Pavel N.", "Dr. Reyes", "Sofie", "Imran", "Lucía")


@dataclass(frozen=True)
class Message:
    """What a customer wrote; `order` is None where no order is named."""

    text: str
    category: str
    priority: str
    order: str | None


def message(random_: random.Random, category: str) -> Message:
    """One customer's message of a category."""
    text, priority = random_.choice(_TEXTS[category])
    order = random_.choice(_orders_for(category))
    opening, closing, name = random_.choice(_OPENINGS), random_.choice(_CLOSINGS), random_.choice(_NAMES)
    filled = text.format(order=order["number"], item=order["item"])
    whole = opening + filled + closing.format(name=name)
    return Message(whole, category, priority, desk.order_number(whole))


def _orders_for(category: str) -> list[dict[str, Any]]:
    """A parcel that is late is still under way; everything else is about one that came."""
    under_way = category == "delivery"
    return [order for order in desk.orders().values() if order["status"].startswith("delivered") != under_way]


def _make_orders(random_: random.Random) -> list[dict[str, Any]]:
    numbers = {"A-1042"}
    while len(numbers) < 160:
        numbers.add(f"{random_.choice('ABCDEF')}-{random_.randrange(1000, 10000)}")
    return [_order(random_, number, random_.choice((_SHIPPED, _DELIVERED))) for number in sorted(numbers)]


def _order(random_: random.Random, number: str, statuses: tuple[str, ...]) -> dict[str, Any]:
    status = "shipped on 17 November" if number == "A-1042" else random_.choice(statuses)
    total = f"{random_.randrange(19, 640)}.{random_.choice(('00', '50', '90', '95'))}"
    return {"number": number, "item": random_.choice(_ITEMS), "status": status, "total": total}


def _different(random_: random.Random, category: str, count: int) -> Iterator[Message]:
    seen = set()
    if category == "delivery":
        seen.add(_FIRST)
        yield Message(_FIRST, "delivery", "normal", "A-1042")
    while len(seen) < count:
        made = message(random_, category)
        if made.text not in seen:
            seen.add(made.text)
            yield made


def _triage_case(case_id: str, made: Message) -> dict[str, Any]:
    return {"id": case_id, "input": made.text, "category": made.category, "priority": made.priority}


def _answer_case(case_id: str, made: Message) -> dict[str, Any]:
    return {
        "id": case_id,
        "input": made.text,
        "order": desk.order_text(made.order),
        "article": desk.article_for(made.category)["text"],
        "reference": made.order,
        "category": made.category,
    }


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """JSON lines, the same bytes on every system."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8", newline="\n")


def main() -> None:
    """Write what is checked in."""
    write_lines(desk.HOME / "orders.jsonl", _make_orders(random.Random(f"{_SEED}/orders")))
    random_ = random.Random(f"{_SEED}/messages")
    triage, answer = [], []
    for category in desk.CATEGORIES:
        for number, made in enumerate(_different(random_, category, _TRIAGE_PER_CATEGORY), 1):
            case_id = f"{category}-{number:02}"
            triage.append(_triage_case(case_id, made))
            if category in _ANSWERED and number <= _ANSWER_PER_CATEGORY:  # the same tickets, one step later
                answer.append(_answer_case(case_id, made))
    write_lines(desk.HOME / "suites" / "triage" / "cases.jsonl", triage)
    write_lines(desk.HOME / "suites" / "answer" / "cases.jsonl", answer)


if __name__ == "__main__":
    main()
