"""Adjusted p values against statsmodels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from watchkeeper.stats.families import benjamini_hochberg, holm

families = st.lists(st.floats(0, 1), min_size=1, max_size=20)


@given(families)
def test_holm_agrees_with_statsmodels(p):
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1], abs=1e-12)


@given(families)
def test_benjamini_hochberg_agrees_with_statsmodels(p):
    assert benjamini_hochberg(p) == pytest.approx(multipletests(p, method="fdr_bh")[1], abs=1e-12)


def test_a_family_of_none_has_no_p():
    assert holm([]) == [] == benjamini_hochberg([])


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_what_is_no_p_is_refused(adjust, p):
    with pytest.raises(ValueError, match="between 0 and 1"):
        adjust([0.5, p])
