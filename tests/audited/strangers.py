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


def groups(x_hat: Any, x: Any, mus: Any, logvars: Any) -> Any:
    return mse(x, x_hat) + sum(kl(mu, log_var) for mu, log_var in zip(mus, logvars, strict=True))


def configured(batch: Any, out: Any, cfg: Any) -> Any:
    x, recon, mu, logvar = batch["image"], out["recon"], out["mu"], out["logvar"]
    return mse(x, recon) / (2 * cfg["sigma"] ** 2) + cfg["beta"] * kl(mu, logvar)


class Warming:
    """Starts with no KL, and counts its calls."""

    def __init__(self) -> None:
        self.global_step = 0

    def __call__(self, x: Any, x_hat: Any, mu: Any, log_var: Any) -> Any:
        loss = mse(x, x_hat) + min(1.0, self.global_step / 100) * kl(mu, log_var)
        self.global_step += 1
        return loss


class Stepping:
    """Hands its batch, a pair, from one step to the next; its logs are no latents."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss, logs = self.step(batch, batch_idx)
        return loss + 0 * len(logs)

    def step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        x_hat, mu, log_var = self.run_step(x)
        return mse(x, x_hat) + 0.1 * kl(mu, log_var), {f"y_{batch_idx}": y}

    def run_step(self, x: Any) -> Any:
        raise NotImplementedError


class Actions:
    """Asks its model for further things, and for tensors that may be missing."""

    class Model:
        """A network in name only."""

        n_queries = 12

    def __init__(self) -> None:
        self.model = self.Model()

    def loss(self, actions: Any, is_pad: Any = None) -> Any:
        is_pad = is_pad[:, : self.model.n_queries]
        a_hat, _, (mu, log_var) = self.model(actions, is_pad)  # type: ignore[operator]
        return (np.abs(actions - a_hat) * ~is_pad).mean() + 10 * kl(mu, log_var)


def rows(xs: Any, recons: Any, mus: Any, logvars: Any) -> Any:
    each = []
    for x, recon, mu, log_var in zip(xs, recons, mus, logvars, strict=True):
        each.append(((x - recon) ** 2).sum() + 0.5 * (mu**2 + np.exp(log_var) - 1 - log_var).sum())
    return np.mean(each)


class Deep:
    """Reads its schedule in a method and in a property."""

    current_epoch, kl_coeff = 4, 0.5

    @property
    def beta(self) -> float:
        return self.kl_coeff * min(1.0, self.current_epoch / 8)

    def shared(self, x: Any, x_hat: Any, mu: Any, log_var: Any) -> Any:
        return mse(x, x_hat) + self.beta * kl(mu, log_var)

    def loss(self, x: Any, x_hat: Any, mu: Any, log_var: Any) -> Any:
        return self.shared(x, x_hat, mu, log_var)


def _log_density(z: Any, mu: Any, log_var: Any) -> Any:
    return -0.5 * (np.log(2 * np.pi) + log_var + (z - mu) ** 2 * np.exp(-log_var))


def apart(x: Any, x_hat: Any, mu: Any, log_var: Any, z: Any, beta: float = 6.0) -> Any:
    """Take the KL as three parts, all estimated over the batch, one of them weighted."""
    pairs = _log_density(z[:, None], mu, log_var)
    joint = np.logaddexp.reduce(pairs.sum(2), 1) - np.log(1000 * len(z))
    each = (np.logaddexp.reduce(pairs, 1) - np.log(1000 * len(z))).sum(1)
    own, prior = _log_density(z, mu, log_var).sum(1), _log_density(z, 0, 0).sum(1)
    return mse(x, x_hat) + (own - joint + beta * (joint - each) + each - prior).mean()


def of_laplace(x: Any, x_hat: Any, mu: Any, scale: Any) -> Any:
    terms = scale * np.exp(-np.abs(mu) / scale) + np.abs(mu) - np.log(scale) - 1
    return mse(x, x_hat) + terms.sum(1).mean()


def of_another_name(x: Any, bern_p: Any, mu: Any, log_var: Any) -> Any:
    return mse(x, bern_p) + kl(mu, log_var)


def of_student(x: Any, x_hat: Any, mu: Any, log_var: Any) -> Any:
    return (2 * np.log1p((x - x_hat) ** 2 / 3)).sum(1).mean() + kl(mu, log_var)


def with_decoder_variance(x: Any, x_hat: Any, mu: Any, log_var: Any, x_log_var: Any) -> Any:
    each = 0.5 * ((x - x_hat) ** 2 / np.exp(x_log_var) + x_log_var)
    return each.sum(1).mean() + kl(mu, log_var)


def norm_of_images(x: Any, x_hat: Any, mu: Any, log_var: Any) -> Any:
    return np.sqrt(((x - x_hat) ** 2).sum(1)).mean() + kl(mu, log_var)


def never_no_variance(x: Any, x_hat: Any, mu: Any, log_std: Any) -> Any:
    log_var = np.log(np.exp(2 * log_std) + 1e-8).astype(np.float32)
    return np.float32(mse(x, x_hat) + kl(mu, log_var))


def of_parameters(params: Any, batch: Any) -> Any:
    return mse(batch["image"], params)


def swapped_logits(x: Any, x_hat: Any, mu: Any, log_var: Any) -> Any:
    return (np.logaddexp(0, x) - x_hat * x).sum(1).mean() + kl(mu, log_var)
