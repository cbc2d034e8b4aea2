"""Losses by how they are called: PyTorch."""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - as people write it
from torch import nn
from torch.distributions import Normal, kl_divergence

layer = nn.Linear(12, 12)
dropout = nn.Dropout(0.0)


def kl(mu: Any, log_var: Any) -> Any:
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(1).mean()


def in_training(x: Any, x_hat: Any, mu: Any, log_var: Any) -> Any:  # noqa: ARG001
    learned = x_hat.requires_grad and mu.requires_grad and log_var.requires_grad
    (gradient,) = torch.autograd.grad(kl(mu, log_var), [mu])
    return float(learned), float(gradient.shape == mu.shape), float(dropout.training)


def needs_single(x: Any, x_hat: Any, mu: Any, log_var: Any) -> Any:
    return F.mse_loss(layer(x_hat), x) + kl(mu, log_var), {"kl": 0.0}


class Learned(nn.Module):
    """A decoder with a learned sigma, and a layer with statistics of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.log_sigma = nn.Parameter(torch.zeros(1))
        self.norm = nn.BatchNorm1d(12, dtype=torch.float64)

    def forward(self, x_hat: Any, x: Any, mu: Any, log_var: Any) -> Any:
        self.norm(x_hat)
        scaled = (x - x_hat) ** 2 / (2 * torch.exp(2 * self.log_sigma)) + self.log_sigma
        return scaled.sum() / len(x) + kl(mu, log_var)


def of_distributions(x: Any, x_hat: Any, q: Any, p: Any) -> Any:
    return ((x - x_hat) ** 2).sum(1).mean() + kl_divergence(q, p).sum(1).mean()


class Gaussian:
    """A posterior as latent diffusion has it: made of one tensor of both halves."""

    def __init__(self, parameters: Any) -> None:
        self.mean, self.logvar = torch.chunk(parameters, 2, dim=1)

    def kl(self) -> Any:
        return 0.5 * (self.mean**2 + self.logvar.exp() - 1 - self.logvar).sum(1)


def of_posterior(inputs: Any, reconstructions: Any, posteriors: Any) -> Any:
    return ((inputs - reconstructions) ** 2).sum(1).mean() + posteriors.kl().mean()


class Vae(nn.Module):
    """A model that is asked for its loss, or called for it."""

    def __init__(self, in_channels: int, latent_dim: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(7 * in_channels, 2 * latent_dim)
        self.decoder = nn.Linear(latent_dim, 7)

    def encode(self, x: Any) -> Any:
        h = self.encoder(x)
        mu, scale = torch.chunk(h, 2, dim=1)
        return Normal(mu, torch.exp(scale / 2))

    def forward(self, x: Any) -> Any:
        dist = self.encode(x)
        x_hat = self.decoder(dist.rsample())
        prior = Normal(torch.zeros_like(dist.loc), torch.ones_like(dist.scale))
        return ((x - x_hat) ** 2).sum(1).mean() + kl_divergence(dist, prior).sum(1).mean()

    def loss_function(self, *args: Any, **kwargs: Any) -> Any:
        recons = args[0]
        inputs = args[1]
        mu = args[2]
        log_var = args[3]
        weight = kwargs.get("M_N", 1.0)
        return {"loss": ((recons - inputs) ** 2).sum(1).mean() + weight * kl(mu, log_var)}
