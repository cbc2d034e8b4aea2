"""What cannot be audited as it is, one function a reason; NumPy."""

import os
import sys
import time
from typing import Any

import numpy as np

print("the file prints as it loads")


def vae_loss(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:
    print("and so does the loss")
    sys.stdout.write("{}\n")
    kl = -0.5 * np.sum(1 + z_log_var - z_mean**2 - np.exp(z_log_var), axis=1)
    return np.sum((x - x_hat) ** 2, axis=1) + kl


def closed_over(x: Any, x_decoded_mean: Any) -> Any:
    return np.mean((x - x_decoded_mean) ** 2)


def unusual(image: Any, drawn: Any, middle: Any, spread: Any) -> Any:
    return vae_loss(image, drawn, middle, spread)


def weighted(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any, strength: Any) -> Any:
    return vae_loss(x, x_hat, z_mean, z_log_var) * strength


def raising(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:  # noqa: ARG001
    return x @ z_mean


def for_mnist(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:
    return vae_loss(x.reshape(-1, 784), x_hat.reshape(len(x), 784), z_mean, z_log_var)


def for_images(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:
    kl = -0.5 * np.sum(1 + z_log_var - z_mean**2 - np.exp(z_log_var), axis=1)
    return np.sum((x - x_hat) ** 2, axis=(1, 2, 3)) + kl


def one_per_latent(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:
    return np.sum((x - x_hat) ** 2) + np.sum(z_mean**2 + z_log_var, axis=0)


def text(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:  # noqa: ARG001
    return "0.5"


def nothing(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:  # noqa: ARG001
    return None


def not_a_number(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:
    return vae_loss(x, x_hat, z_mean, z_log_var) * np.nan


def constant(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:  # noqa: ARG001
    return 1.0


def endless(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:  # noqa: ARG001
    print("on and on", flush=True)
    while True:
        time.sleep(0.1)


def crashing(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:  # noqa: ARG001
    print("the last words", flush=True)
    os._exit(7)


def aborting(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:  # noqa: ARG001
    os.abort()


def leaving(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:  # noqa: ARG001
    sys.exit("I leave")


def builds_nothing() -> str:
    return "no model"


class Losses:
    """A class is no loss."""


number = 3


class Broken:
    """Cannot be made from sizes, and asks its model for what nobody knows."""

    def __init__(self, config: Any) -> None:
        self.config = config

    def loss(self, x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:
        return vae_loss(x, x_hat, z_mean, z_log_var) * self.config


def asks_a_model(model: Any, x: Any) -> Any:
    return model.terms(x) + vae_loss(x, *model(x))


def reads_a_model(model: Any, x: Any) -> Any:
    return model.beta * vae_loss(x, *model(x))


def misspelt(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:
    return np.no_such_function(x - x_hat) + vae_loss(x, x_hat, z_mean, z_log_var)


def of_tokens(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:
    kl = -0.5 * np.sum(1 + z_log_var - z_mean**2 - np.exp(z_log_var), axis=1)
    return -np.log(x_hat)[np.arange(len(x))[:, None], x].sum(1) + kl


def of_maps(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:
    kl = -0.5 * np.sum(1 + z_log_var - z_mean**2 - np.exp(z_log_var), axis=(1, 2, 3))
    return np.sum((x - x_hat) ** 2, axis=(1, 2, 3)) + kl


def of_a_network(params: Any, images: Any) -> Any:
    return vae_loss(images, *(images @ each for each in params))


def makes_a_loss(z_mean: Any, z_log_var: Any) -> Any:
    def loss(y_true: Any, y_pred: Any) -> Any:
        return vae_loss(y_true, y_pred, z_mean, z_log_var)

    return loss


class Stacked:
    """Its encoder gives both latents in one, under a name that tells nothing."""

    def encode(self, x: Any) -> Any:
        return x, x

    def decode(self, z: Any) -> Any:
        return z

    def elbo(self, x: Any) -> Any:
        zs, both = self.encode(x)
        recon = self.decode(zs)
        return vae_loss(x, recon, both[..., 0], both[..., 1])


def hangs_far_out(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:
    while np.abs(z_mean).max() > 50:
        time.sleep(0.1)
    return vae_loss(x, x_hat, z_mean, z_log_var)
