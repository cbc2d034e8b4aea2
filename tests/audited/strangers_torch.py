"""Losses as people write them that once were told wrongly; PyTorch."""

from collections import deque
from typing import Any

import torch


def mse(x: Any, x_hat: Any) -> Any:
    return ((x - x_hat) ** 2).sum(1).mean()


def kl(mu: Any, log_var: Any) -> Any:
    return (0.5 * (mu**2 + torch.exp(log_var) - 1 - log_var)).sum(1).mean()


def half_detached(x: Any, x_hat: Any, mu: Any, logvar: Any) -> Any:
    return mse(x, x_hat) + kl(mu, logvar) + 3 * kl(mu.detach(), logvar)


def balanced(x: Any, x_hat: Any, mu: Any, logvar: Any) -> Any:
    return mse(x, x_hat) / mse(x, x_hat).detach() + kl(mu, logvar)


def weight_apart(x: Any, x_hat: Any, mu: Any, logvar: Any) -> Any:
    return mse(x, x_hat), kl(mu, logvar).clamp(min=2.0), 0.5


def logged(x: Any, x_hat: Any, mu: Any, logvar: Any) -> Any:
    return {"loss": mse(x, x_hat) + kl(mu, logvar), "kl": kl(mu, logvar).detach()}


class Running:
    """Divides by the mean of its last errors."""

    def __init__(self) -> None:
        self.history: deque[float] = deque([0.5], maxlen=2)

    def __call__(self, x: Any, x_hat: Any, mu: Any, logvar: Any) -> Any:
        self.history.append(float(mse(x, x_hat)))
        return mse(x, x_hat) / sum(self.history) + kl(mu, logvar)


def sampled_and_detached(x: Any, x_hat: Any, mu: Any, logvar: Any) -> Any:
    z = mu + torch.exp(logvar / 2) * torch.randn_like(mu)
    sampled = (0.5 * (z**2 - (z - mu) ** 2 / torch.exp(logvar) - logvar)).sum(1).mean()
    return mse(x, x_hat) + 0.5 * sampled + 0.5 * sampled.detach()


def below_a_threshold(x: Any, x_hat: Any, mu: Any, logvar: Any, threshold: float = 1.0) -> Any:
    k = kl(mu, logvar)
    return mse(x, x_hat) + (k.detach() if k < threshold else k)


def shared_out(x: Any, x_hat: Any, mu: Any, logvar: Any, alpha: float = 0.8) -> Any:
    k = kl(mu, logvar)
    return mse(x, x_hat.detach()) + alpha * k.detach() + (1 - alpha) * k


def of_distributions(posterior: Any, prior: Any, likelihood: Any, data: Any) -> Any:
    k = torch.distributions.kl_divergence(posterior, prior)
    return (k - likelihood.log_prob(data)).mean()
