"""Losses of every kind that is easily taken for another one; NumPy."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = Any


def K(mu: Array, log_var: Array) -> Array:  # noqa: N802 - as in the formulas
    return 0.5 * (mu**2 + np.exp(log_var) - 1 - log_var)


def mse(x: Array, x_hat: Array) -> Array:
    return ((x - x_hat) ** 2).sum(1).mean()


def weight_beside(x: Array, x_hat: Array, mu: Array, log_var: Array, step: int = 250) -> Any:
    return mse(x, x_hat), K(mu, log_var).sum(1).mean(), min(1.0, step / 1000)


def logged_kl(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Any:
    kl = K(mu, log_var).sum(1).mean()
    return mse(x, x_hat) + np.maximum(kl - 60.0, 0), kl


@dataclass
class Result:
    """The terms beside the total."""

    reconstruction: Array
    kl: Array
    loss: Array


def in_a_record(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Result:
    r, kl = mse(x, x_hat), K(mu, log_var).sum(1).mean()
    return Result(r, kl, r + 3 * kl)


def weight_of_nothing(x: Array, x_hat: Array, mu: Array, log_var: Array, beta: float = 0.0) -> Any:
    r, kl = mse(x, x_hat), K(mu, log_var).sum(1).mean()
    return r + beta * kl, r, kl


def clamped_from_below(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    return mse(x, x_hat) + K(mu, np.maximum(log_var, -1.0)).sum(1).mean()


def clamped_mean(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    return mse(x, x_hat) + K(np.clip(mu, -2.5, 2.5), log_var).sum(1).mean()


def square_is_missing(x: Array, x_hat: Array, mu: Array, log_sigma: Array) -> Array:
    kl = 0.5 * (mu**2 + np.exp(log_sigma) - 1 - 2 * log_sigma)
    return mse(x, x_hat) + kl.sum(1).mean()


def taken_for_the_deviation(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    with np.errstate(all="ignore"):
        kl = 0.5 * (mu**2 + log_var**2 - 1 - np.log(log_var**2))
    return mse(x, x_hat) + kl.sum(1).mean()


def through_softplus(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    std = np.log1p(np.exp(log_var))
    return mse(x, x_hat) + 0.5 * (mu**2 + std**2 - 1 - 2 * np.log(std)).sum(1).mean()


def softplus_and_a_little(x: Array, x_hat: Array, mu: Array, rho: Array) -> Array:
    std = np.log1p(np.exp(rho)) + 1e-3
    return mse(x, x_hat) + 0.5 * (mu**2 + std**2 - 1 - 2 * np.log(std)).sum(1).mean()


def only_the_mean_is_wrong(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    kl = 0.5 * (-(mu**2) + np.exp(log_var) - 1 - log_var)
    return mse(x, x_hat) + kl.mean(1).mean()


def wide_prior(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    kl = 0.5 * ((mu**2 + np.exp(log_var)) / 4 - 1 - log_var + math.log(4))
    return mse(x, x_hat) + kl.sum(1).mean()


class Counting:
    """A capacity that grows with every call."""

    n = 100

    def __call__(self, x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
        self.n += 1
        return mse(x, x_hat) + 2.0 * abs(K(mu, log_var).sum(1).mean() - 0.05 * self.n)


counting = Counting()


def floor_of_latents(
    x: Array, x_hat: Array, mu: Array, log_var: Array, free_bits: float = 0.25
) -> Array:
    return mse(x, x_hat) + np.maximum(K(mu, log_var).mean(0), free_bits).sum()


def bounded_by(
    x: Array, x_hat: Array, mu: Array, log_var: Array, most: float = 9.0, unused: float = 3.0
) -> Array:
    del unused
    return mse(x, x_hat) + K(mu, np.minimum(log_var, most)).sum(1).mean()


def correlated(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    centred = mu - mu.mean(0)
    covariance = centred.T @ centred / len(mu)
    return mse(x, x_hat) + K(mu, log_var).sum(1).mean() + 5 * (covariance**2).sum()


def kernel_distance(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    far = ((mu[:, None] - mu[None]) ** 2).sum(-1)
    return mse(x, x_hat) + np.exp(-far).mean() + 0.1 * np.exp(log_var).mean()


def capacity(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    return mse(x, x_hat) + 30 * abs(K(mu, log_var).sum(1).mean() - 4.0)


def capacity_squared(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    return mse(x, x_hat) + 3 * (K(mu, log_var).sum(1).mean() - 6.0) ** 2


def optimal_sigma(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    error = ((x - x_hat) ** 2).mean()
    return x.shape[1] / 2 * np.log(error) + K(mu, log_var).sum(1).mean()


def huber_of_one(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    e = np.abs(x - x_hat)
    r = np.where(e <= 1, e**2 / 2, e - 0.5)
    return r.sum(1).mean() + K(mu, log_var).sum(1).mean()


def two_errors(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    r = ((x - x_hat) ** 2 + 0.5 * np.abs(x - x_hat)).sum(1).mean()
    return r + K(mu, log_var).sum(1).mean()


def student(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    return np.log1p((x - x_hat) ** 2 / 0.05).sum(1).mean() + K(mu, log_var).sum(1).mean()


def dice(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    overlap = (2 * (x * x_hat).sum() + 1) / (x.sum() + x_hat.sum() + 1)
    return 1 - overlap + K(mu, log_var).sum(1).mean()


def of_each_other(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    return mse(x, x_hat) * (1 + K(mu, log_var).sum(1).mean())


def weighed_by_the_error(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    weight = min(1.0, 10 * np.abs(x - x_hat).mean())
    return np.abs(x - x_hat).sum(1).mean() + weight * K(mu, log_var).sum(1).mean()


def total_correlation(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    z = mu + np.exp(log_var / 2) * np.random.standard_normal(mu.shape)
    each = -0.5 * ((z[:, None] - mu) ** 2 / np.exp(log_var) + log_var)
    joint = np.log(np.exp(each.sum(2)).mean(1))
    apart = np.log(np.exp(each).mean(1)).sum(1)
    return mse(x, x_hat) + K(mu, log_var).sum(1).mean() + 4 * (joint - apart).mean()


def correlation(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    with np.errstate(all="ignore"):
        between = np.corrcoef(mu.T)
    return mse(x, x_hat) + K(mu, log_var).sum(1).mean() + (between**2).mean()


def of_the_deviation(x: Array, x_hat: Array, mu: Array, z_var: Array) -> Array:
    if (z_var <= 0).any():
        raise ValueError("a standard deviation is positive")
    return mse(x, x_hat) + K(mu, 2 * np.log(z_var)).sum(1).mean()


def in_half_precision(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    kl = K(mu.astype(np.float16), log_var.astype(np.float16)).sum(1)
    return mse(x, x_hat) + kl.mean().astype(np.float64)


class Slowly:
    """A capacity that begins at next to nothing."""

    n = 0

    def __call__(self, x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
        self.n += 1
        kl = K(mu, log_var).astype(np.float32).sum(1).mean()
        return np.float32(mse(x, x_hat)) + np.float32(100) * abs(kl - np.float32(0.00025 * self.n))


slowly = Slowly()


class Stepping:
    """A weight that an attribute makes, which another method moves."""

    step = 300.0

    def loss(self, x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
        return mse(x, x_hat) + min(1.0, self.step / 1000) * K(mu, log_var).sum(1).mean()


of_an_attribute = Stepping().loss


def maximised(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    return -mse(x, x_hat) - 2 * K(mu, log_var).sum(1).mean()


def annealed(x: Array, x_hat: Array, mu: Array, log_var: Array, step: int = 3000) -> Array:
    weight = 1 / (1 + math.exp(-0.0025 * (step - 2500)))
    return ((x - x_hat) ** 2).mean() + weight * K(mu, log_var).sum(1).mean()


class Switching:
    """Another weight in evaluation than in training."""

    def __call__(
        self, x: Array, x_hat: Array, mu: Array, log_var: Array, training: bool = True
    ) -> Array:
        return mse(x, x_hat) + (0.5 if training else 1.0) * K(mu, log_var).sum(1).mean()


switching = Switching()
