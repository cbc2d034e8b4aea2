"""Losses for findings that no other one brings up; NumPy."""

import itertools
from typing import Any

import numpy as np
from audited.kinds import K, mse

Array = Any
_calls = itertools.count()


def rewarded(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    return -mse(x, x_hat) + K(mu, log_var).sum(1).mean()


def against_the_sigmoid(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    return mse(x, 1 / (1 + np.exp(-x_hat))) + K(mu, log_var).sum(1).mean()


def between_0_and_1(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    return mse(x, np.clip(x_hat, 0, 1)) + K(mu, log_var).sum(1).mean()


def named_sigma(x: Array, x_hat: Array, mu: Array, log_sigma: Array) -> Array:
    return mse(x, x_hat) + K(mu, log_sigma).sum(1).mean()


def damped(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    log_var = np.where(np.abs(log_var) < 8, log_var, 8 * np.tanh(log_var / 8))
    return mse(x, x_hat) + K(mu, log_var).sum(1).mean()


def drifting(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    noise = 0.001 * np.random.default_rng(next(_calls)).standard_normal()
    return mse(x, x_hat) + (1 + noise) * K(mu, log_var).sum(1).mean()


def floored_in_training(
    x: Array, x_hat: Array, mu: Array, log_var: Array, training: bool = True
) -> Array:
    kl = K(mu, log_var).sum(1).mean()
    return mse(x, x_hat) + (np.maximum(kl, 2.0) if training else kl)


def weighed_in_evaluation(
    x: Array, x_hat: Array, mu: Array, log_var: Array, training: bool = True
) -> Array:
    return (1 if training else 2) * mse(x, x_hat) + K(mu, log_var).sum(1).mean()


def divided_by_12(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    return mse(x, x_hat) + K(mu, log_var).sum(1).mean() / 12


def of_12_latents(x: Array, x_hat: Array, mu: Array, log_var: Array, latents: int = 12) -> Array:
    if mu.shape[1:] != np.zeros(latents).shape:
        raise ValueError(f"{latents} latents, please")
    return mse(x, x_hat) + K(mu, log_var).sum(1).mean()


class Unrolled:
    """A number of latents that an attribute holds, and that has to be a whole one."""

    latents = 12

    def loss(self, x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
        return of_12_latents(x, x_hat, mu, log_var, self.latents)


of_12_of_its_own = Unrolled().loss


def of_all_pairs(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    return mse(x, x_hat) + len(mu) * K(mu, log_var).sum()


def in_its_own_range(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    return mse(2 * x - 1, x_hat) + 4 * K(mu, log_var).sum(1).mean()


def without_the_log(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    return mse(x, x_hat) + 0.5 * (mu**2 + np.exp(log_var) - 1).sum(1).mean()


def of_a_strange_sign(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    kl = 0.5 * (-2 * mu**2 + np.exp(log_var) - 1 - log_var)
    return mse(x, x_hat) + kl.sum(1).mean()


def pulled(x: Array, x_hat: Array, mu: Array, log_var: Array, c: float = 7.0) -> Array:
    return mse(x, x_hat) + 30 * abs(K(mu, log_var).sum(1).mean() - c)


def averaged(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    return ((x - x_hat) ** 2).mean() + K(mu, log_var).mean()


def summed_of_images(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    return ((x - x_hat) ** 2).mean() + K(mu, log_var).sum(1).mean()


def averaged_of_latents(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    return mse(x, x_hat) + K(mu, log_var).mean()


def noisy(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    weight = 3 + 0.3 * np.random.standard_normal()
    return mse(x, x_hat) + weight * K(mu, log_var).sum(1).mean()


def clamped_to_6_and_2(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    return mse(x, x_hat) + K(mu, np.clip(log_var, -6.5, 2.5)).sum(1).mean()


def clamped_to_5(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    return mse(x, x_hat) + K(np.clip(mu, -5.5, 5.5), log_var).sum(1).mean()


def by_1000(x: Array, x_hat: Array, mu: Array, log_var: Array, weight: float = 784.0) -> Array:
    return mse(x, x_hat) + weight * K(mu, log_var).sum(1).mean()


def averaged_over_channels(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    """Of images with their channels last."""
    error = 10 * ((x - x_hat) ** 2).mean(-1)
    return error.reshape(len(x), -1).sum(1).mean() + K(mu, log_var).sum(1).mean()


def of_three_channels(x: Array, x_hat: Array, mu: Array, log_var: Array) -> Array:
    """Of colour images, with a network for these beside the errors."""
    seen = [np.moveaxis(each, 1, -1) @ np.eye(3)[:, :2] for each in (x, x_hat)]
    further = 0.0002 * ((seen[0] - seen[1]) ** 2).mean()
    return np.abs(x - x_hat).mean() + further + K(mu, log_var).sum(1).mean()
