"""Losses by how they are called, not by what they compute: a squared error plus b*K; NumPy."""

import functools
import random
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import numpy as np


def mse(x: Any, x_hat: Any) -> Any:
    return ((x - x_hat) ** 2).sum() / len(x)


def kl(mu: Any, log_var: Any) -> Any:
    axes = tuple(range(1, mu.ndim))
    return (0.5 * (mu**2 + np.exp(log_var) - 1 - log_var)).sum(axes).mean()


def plain(x: Any, x_hat: Any, mu: Any, log_var: Any, beta: float = 1.0) -> Any:
    return mse(x, x_hat) + beta * kl(mu, log_var)


# What a loss returns.

Terms = namedtuple("Terms", "reconstruction loss")


@dataclass
class Report:
    """Parts and a total."""

    total: Any
    parts: dict[str, Any]


class Anything:
    """An object that carries its loss."""

    def __init__(self, loss: Any) -> None:
        self.loss, self.name, self._hidden = loss, "vae", 3.0


def returns_nested(x: Any, x_hat: Any, mu: Any, log_var: Any) -> Any:
    total = plain(x, x_hat, mu, log_var)
    return total, {"kl": kl(mu, log_var), "inner": (1.0, None)}


def returns_named(x: Any, x_hat: Any, mu: Any, log_var: Any) -> Any:
    return Terms(mse(x, x_hat), plain(x, x_hat, mu, log_var))


def returns_dataclass(x: Any, x_hat: Any, mu: Any, log_var: Any) -> Any:
    return Report(plain(x, x_hat, mu, log_var), {"kl": kl(mu, log_var), "text": "fine"})


def returns_object(x: Any, x_hat: Any, mu: Any, log_var: Any) -> Any:
    return Anything(plain(x, x_hat, mu, log_var))


def returns_images(x: Any, x_hat: Any, mu: Any, log_var: Any) -> Any:
    return [plain(x, x_hat, mu, log_var), x_hat, True]


# What a loss keeps.


class Counting:
    """Counts its calls in itself, in its class and in a list."""

    calls = 0

    def __init__(self, beta: float = 1.0) -> None:
        self.beta = beta
        self.steps, self.seen, self.buffer = 0, [0], np.zeros(2)
        self.noise = np.random.default_rng(3)

    def __call__(self, x: Any, x_hat: Any, mu: Any, log_var: Any) -> Any:
        self.steps += 1
        self.calls += 1
        self.seen.append(self.steps)
        self.buffer[1] += 0.5
        self.last = plain(x, x_hat, mu, log_var)
        jitter = self.noise.normal() * 0
        return mse(x, x_hat) + self.beta * kl(mu, log_var) * self.steps + jitter


counting = Counting()


class Late:
    """Starts to count at its first call."""

    def __call__(self, x: Any, x_hat: Any, mu: Any, log_var: Any) -> Any:
        if not hasattr(self, "n"):
            self.n = 0
        self.n += 1
        return mse(x, x_hat) + self.n * kl(mu, log_var)


late = Late()
N_CALLS = 0
history: dict[str, int] = {"calls": 0}


def _note() -> None:
    global N_CALLS  # noqa: PLW0603 - as people do it
    N_CALLS += 1
    history["calls"] += 1
    _note.last = N_CALLS  # type: ignore[attr-defined]


def counts_in_the_file(x: Any, x_hat: Any, mu: Any, log_var: Any) -> Any:
    _note()
    return mse(x, x_hat) + N_CALLS * kl(mu, log_var)


def _closed_over() -> Any:
    n = 0

    def loss(x: Any, x_hat: Any, mu: Any, log_var: Any) -> Any:
        nonlocal n
        n += 1
        return mse(x, x_hat) + n * kl(mu, log_var)

    return loss


closed_over = _closed_over()


def random_weight(x: Any, x_hat: Any, mu: Any, log_var: Any) -> Any:
    return mse(x, x_hat) + random.random() * kl(mu, log_var)


# How a loss is called.


def slope(x: Any, x_hat: Any, mu: Any, log_var: Any, step: Any, k: Any, x0: Any) -> Any:
    return mse(x, x_hat) + kl(mu, log_var) / (1 + np.exp(-k * (step - x0)))


def of_sizes(x: Any, x_hat: Any, mu: Any, log_var: Any, latent_dim: Any, x_dim: int = 784) -> Any:
    return mse(x, x_hat) * x_dim + kl(mu, log_var) / latent_dim


def of_n(x: Any, x_hat: Any, mu: Any, log_var: Any, weight: Any, N: Any) -> Any:  # noqa: N803
    if not isinstance(N, int):
        raise TypeError("N is a count")
    return mse(x, x_hat) + weight * kl(mu, log_var) + N


def by_position(x: Any, x_hat: Any, mu: Any, log_var: Any, /, *, beta: float = 2.0) -> Any:
    return plain(x, x_hat, mu, log_var, beta)


def star(*args: Any, **kwargs: Any) -> Any:
    recons = args[0]
    inputs = args[1]
    mu, log_var = args[2:]
    return mse(inputs, recons) + kwargs["kld_weight"] * kl(mu, log_var)


def star_nested(*args: Any, **kwargs: Any) -> Any:
    recons, x, latents = args
    mu, log_var = latents
    return mse(x, recons) + kwargs.get("beta", 1.0) * kl(mu, log_var)


def star_silent(*args: Any) -> Any:
    p = np.clip(args[1], 1e-7, 1 - 1e-7)
    bce = -(args[0] * np.log(p) + (1 - args[0]) * np.log(1 - p))
    return bce.sum(1).mean() + kl(*args[2:])


def of_dict(batch: Any, outputs: Any) -> Any:
    return mse(batch["image"], outputs["recon"]) + kl(outputs.mu, outputs.get("log_var"))


def of_pair(x: Any, x_hat: Any, latent_dist: Any) -> Any:
    mu, log_var = latent_dist["cont"]
    return mse(x, x_hat) + kl(mu, log_var)


def handed_on(batch: Any, outputs: Any) -> Any:
    return mse(batch, outputs["x_recon"]) + _kl_of(outputs)


def _kl_of(outputs: Any) -> Any:
    return kl(outputs["mu"], outputs["logvar"])


def of_variance(x: Any, x_hat: Any, m: Any, v: Any) -> Any:
    return mse(x, x_hat) + (0.5 * (m**2 + v - 1 - np.log(v))).sum(1).mean()


def with_prior(x: Any, x_hat: Any, mu: Any, log_var: Any, prior_mu: Any, prior_logvar: Any) -> Any:
    ratio = (np.exp(log_var) + (mu - prior_mu) ** 2) / np.exp(prior_logvar)
    return mse(x, x_hat) + (0.5 * (ratio - 1 - log_var + prior_logvar)).sum(1).mean()


def learned_noise(x: Any, x_hat: Any, x_logvar: Any, mu: Any, log_var: Any) -> Any:
    scaled = ((x - x_hat) ** 2 / np.exp(x_logvar) + x_logvar).sum(1).mean()
    return scaled + kl(mu, log_var)


def masked(x: Any, x_hat: Any, mu: Any, log_var: Any, mask: Any, lengths: Any) -> Any:
    steps = ((x - x_hat) ** 2).sum(-1) * mask
    assert np.all(lengths == mask.sum(1))
    return steps.sum(1).mean() + kl(mu, log_var)


def with_criterion(x: Any, x_hat: Any, mu: Any, log_var: Any, criterion: Any) -> Any:
    return criterion(x, x_hat) + kl(mu, log_var)


def reparameterized(x: Any, x_hat: Any, mu: Any, log_var: Any, eps: Any) -> Any:
    z = mu + np.exp(log_var / 2) * eps
    return mse(x, x_hat) + (0.5 * (z**2 - eps**2 - log_var)).sum(1).mean()


def moded(x: Any, x_hat: Any, mu: Any, log_var: Any, training: Any) -> Any:
    return mse(x, x_hat) + (1.0 if training else 0.5) * kl(mu, log_var)


partial = functools.partial(plain, beta=3.0)


class Sized:
    """A class that has to know its sizes."""

    def __init__(self, input_dim: int, latent_dim: int, gamma: float = 1.0) -> None:
        self.input_dim, self.latent_dim, self.gamma = input_dim, latent_dim, gamma

    def loss_function(self, x: Any, x_hat: Any, mu: Any, log_var: Any) -> Any:
        return mse(x, x_hat) / self.input_dim + self.gamma * kl(mu, log_var) / self.latent_dim

    @staticmethod
    def static(x: Any, x_hat: Any, mu: Any, log_var: Any) -> Any:
        return plain(x, x_hat, mu, log_var)

    @classmethod
    def of_class(cls, x: Any, x_hat: Any, mu: Any, log_var: Any) -> Any:
        return plain(x, x_hat, mu, log_var)


class Needy(Sized):
    """A class that cannot be made from sizes."""

    def __init__(self, config: Any) -> None:
        super().__init__(**config)


class Configured(Sized):
    """A class that is made from a configuration."""

    def __init__(self, config: Any) -> None:
        super().__init__(config.input_dim, config["latent_dim"], config["gamma"])
        self.delta = config.get("delta", 0.0)


def with_config(batch: Any, out: Any, cfg: Any) -> Any:
    return mse(batch, out["x_hat"]) + cfg.loss_weight * kl(out["mu"], out["logvar"])


# Functions that take a model, and models that compute their own loss.


def compute_loss(model: Any, x: Any) -> Any:
    mean, logvar = model.encode(x)
    z = model.reparameterize(mean, logvar)
    assert z.shape == mean.shape
    x_hat = model.decode(z, apply_sigmoid=True)
    return mse(x, x_hat) + kl(mean, logvar)


def loss_fn(model: Any, x: Any, beta: float = 1.0) -> Any:
    x_hat, mu, logvar, _ = model(x)
    return mse(x, x_hat) + beta * model.weight * kl(mu, logvar)


def by_key(vae: Any, batch: Any) -> Any:
    out = vae(batch)
    return mse(batch, out["recon"]) + kl(out.mu, out["log_var"])


class Own:
    """A model of its own whose networks know no shape but theirs."""

    def encode(self, x: Any) -> Any:
        h = x @ np.ones((3, 4))
        return h, h

    def decode(self, z: Any) -> Any:
        return z @ np.ones((4, 3))

    def sample(self, mu: Any, log_var: Any) -> Any:
        return mu + np.exp(log_var / 2) * np.random.standard_normal(mu.shape)

    def __call__(self, x: Any) -> Any:
        mu, log_var = self.encode(x)
        z = self.sample(mu, log_var)
        return self.decode(z), mu, log_var

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, _ = batch
        x_hat, mu, log_var = self(x)
        loss = mse(x, x_hat) + kl(mu, log_var)
        self.log("loss", loss + batch_idx)  # type: ignore[attr-defined]
        return loss
