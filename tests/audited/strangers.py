"""Losses as people write them that once were told wrongly; NumPy."""

from typing import Any

import numpy as np


def mse(x: Any, x_hat: Any) -> Any:
    return ((x - x_hat) ** 2).sum(1).mean()


def kl(mu: Any, log_var: Any) -> Any:
    return (0.5 * (mu**2 + np.exp(log_var) - 1 - log_var)).sum(1).mean()


class Criterion:
    """Keeps what it made of a size."""

    def __init__(self, input_dim: int = 12, beta: float = 0.5) -> None:
        self.scale, self.beta = 1.0 / input_dim, beta

    def __call__(self, batch: Any, outputs: Any) -> Any:
        reconstruction = self.scale * mse(batch, outputs["recon"])
        return reconstruction + self.beta * kl(outputs.mu, outputs.log_var)


criterion = Criterion()
