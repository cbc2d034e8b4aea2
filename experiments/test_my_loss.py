"""A test of one's own loss: that it trains what its author means, at every size.

Copy it beside your model and put your loss in place of this one; `pytest` runs it. Nothing is
trained.
"""

import numpy as np
import pytest
from numpy.typing import NDArray

import lossbench


def vae_loss(
    x: NDArray[np.float64],
    x_hat: NDArray[np.float64],
    z_mean: NDArray[np.float64],
    z_log_var: NDArray[np.float64],
    beta: float = 1.0,
) -> float:
    """Return the squared error and the KL, both summed, averaged over the batch."""
    squares = ((x - x_hat) ** 2).sum(axis=1)
    kl = -0.5 * (1 + z_log_var - z_mean**2 - np.exp(z_log_var)).sum(axis=1)
    return float((squares + beta * kl).mean())


@pytest.mark.parametrize("d", [64, 784])
def test_the_kl_has_the_weight_that_i_write(d: int) -> None:
    """Whatever the size of the image: a mean over pixels would give d times as much."""
    found = lossbench.audit(vae_loss, d=d, k=2, settings=["beta=4"])
    assert found.beta_eff == pytest.approx(4)
    assert not [finding for finding in found.findings if finding.changes]


def test_it_does_not_collapse_on_my_data() -> None:
    """At beta 0.5; digits stand for the data."""
    found = lossbench.audit(vae_loss, d=64, k=2, settings=["beta=0.5"], dataset="digits")
    assert found.collapse is not None
    assert not found.collapse.collapses
