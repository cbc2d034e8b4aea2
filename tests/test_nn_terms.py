"""The terms of the likelihoods, in TensorFlow."""

import runpy

import pytest

import lossbench.loss
from lossbench.loss import LIKELIHOODS
from lossbench.nn import terms


def test_a_likelihood_without_a_term_is_found_when_a_worker_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not in the middle of a sweep, and a third is never trained as the second."""
    runpy.run_path(terms.__file__)
    monkeypatch.setattr(lossbench.loss, "LIKELIHOODS", dict(LIKELIHOODS) | {"weibull": None})
    with pytest.raises(NotImplementedError, match="no term: weibull"):
        runpy.run_path(terms.__file__)
