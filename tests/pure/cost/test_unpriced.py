"""Who is told about calls without a cost, and when not."""

from dataclasses import dataclass

from watchkeeper.cost.unpriced import unpriced_findings


@dataclass(frozen=True)
class Group:
    calls: int
    model: str | None = "new-model"
    provider: str | None = "openai"
    reason: str | None = "unknown_model"
    detail: str | None = "no price of it"
    failed: int = 0


def told(*groups: Group, total: int = 100) -> list[str]:
    return [finding.summary for finding in unpriced_findings(groups, total, least=5, share=0.01)]


def test_many_calls_of_a_model_are_one_finding_with_its_reasons() -> None:
    groups = [Group(6), Group(2, reason="suspect"), Group(2, model="other")]
    [finding] = unpriced_findings(groups, 100, least=5, share=0.01)
    assert finding.subject == {"model": "openai/new-model"}
    assert finding.summary == (
        "8 calls to openai/new-model have no cost, of 100 calls of the last day: no price for that model."
    )
    assert finding.evidence["reasons"] == {"unknown_model": 6, "suspect": 2}


def test_few_calls_or_a_small_share_or_failed_ones_are_not_told() -> None:
    assert told(Group(4)) == []
    assert told(Group(5), total=501) == []
    assert len(told(Group(5), total=500)) == 1
    assert told(Group(50, failed=46)) == []
    assert told(total=0) == []
