"""What a number of cases can show."""

import numpy as np
import pytest
from tests.pure.stats.exact_rates import probability

from watchkeeper.stats.evidence import GradedEvidence
from watchkeeper.stats.planning import cases_for, cases_to_pass, detectable_loss, loss_found


@pytest.mark.parametrize(("margin", "cases"), [(0.05, 59), (0.02, 149), (0.10, 29), (1.0, 1)])
def test_the_fewest_cases_that_can_pass(margin, cases):
    assert cases_to_pass(margin) == cases


@pytest.mark.parametrize(
    ("cases", "changed", "points"), [(20, 0.2, 25), (50, 0.1, 11), (200, 0.4, 11), (1000, 0.05, 2), (1000, 0.4, 5)]
)
def test_the_loss_found_before_a_run(cases, changed, points):
    assert round(100 * detectable_loss(cases, changed)) == points


@pytest.mark.parametrize(("cases", "changed"), [(0, 0.1), (10, -0.1), (10, 1.5), (10, float("nan"))])
def test_a_plan_of_nonsense_is_refused(cases, changed):
    with pytest.raises(ValueError):
        detectable_loss(cases, changed)


@pytest.mark.parametrize(("margin", "cases"), [(0.02, 1546), (0.05, 248), (0.10, 62)])
def test_cases_to_show_that_nothing_changed_when_ten_percent_do(margin, cases):
    assert cases_for(margin, 0.1**0.5, unseen=None) == pytest.approx(cases, abs=1)


def test_what_lies_beyond_its_limit_is_not_decided_by_more_cases():
    assert cases_for(0.0, 0.3, unseen=None) is None
    assert cases_for(-0.1, 0.3, unseen=1.0) is None


@pytest.mark.parametrize("cases", [20, 50])
def test_the_loss_found_without_any_change_seen_is_found_in_about_80_percent(cases):
    loss = loss_found(cases, 0.0, graded=False)
    assert probability("regressed", cases, 0.05, loss=loss, gain=0.0) == pytest.approx(0.8, abs=0.12)


@pytest.mark.parametrize(("cases", "spread"), [(40, 0.2), (200, 0.1)])
def test_the_loss_found_by_graded_scores_is_found_in_about_80_percent(cases, spread):
    rng = np.random.default_rng(7)
    loss = loss_found(cases, spread, graded=True)
    found = [
        GradedEvidence(differences=np.clip(rng.normal(-loss, spread, cases), -1, 1)).p_worse() <= 0.05
        for _ in range(400)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.1)
