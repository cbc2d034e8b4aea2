"""Every loss of the catalogue that is a*R + b*K, as its code writes it, for three libraries.

The texts are in the arrays of a batch: bce, sse and l1 are per pixel ``(B, d)``, kl is per latent
``(B, k)``; d, k and B are the arrays' own sizes. ``mean`` and ``sum`` reduce over everything, or
over one axis. A loss has no argument for a weight if its code has none; each names its library, and
is asked in that one whatever else is loaded.
"""

import functools
from collections.abc import Callable
from types import CodeType
from typing import Any

import numpy as np

LITERAL = {
    "blog": "mean(bce, 1) + beta * mean(kl, 1)",
    "docs": "mean(d * mean(bce, 1) + beta * sum(kl, 1))",
    "keras-blog": "mean(bce, 1) + mean(kl, 1)",
    "keras-blog-revised": "mean(d * mean(bce, 1) + sum(kl, 1))",
    "keras-2016-07-24": "d * mean(bce, 1) + sum(kl, 1)",
    "keras-2016-07-25": "mean(bce, 1) + sum(kl, 1)",
    "keras-2016-08-03": "d * mean(bce, 1) + sum(kl, 1)",
    "keras-2016-09-28": "d * mean(bce, 1) + sum(kl, 1)",
    "keras-docs": "mean(d * mean(bce, 1) + sum(kl, 1))",
    "keras-docs-mse": "mean(d * mean(sse, 1) + sum(kl, 1))",
    "keras-deconv-2016-07-25": "mean(bce) + mean(kl, 1)",
    "keras-deconv-2016-09-28": "d * mean(bce) + mean(kl, 1)",
    "keras-io-2020": "mean(bce) * d + mean(kl)",
    "keras-io": "mean(sum(bce, 1)) + mean(sum(kl, 1))",
    "keras-guide": "mean(sse) + mean(kl)",
    "chollet-book-2017": "mean(mean(bce, 1) + 2 * 5e-4 * mean(kl, 1))",
    "chollet-book-2021": "mean(sum(bce, 1)) + mean(kl)",
    "chollet-book-2025": "mean(sum(bce, 1)) + mean(kl)",
    "r-keras-2017": "d * mean(bce, 1) + mean(kl, 1)",
    "pytorch-examples-2016": "sum(bce) + sum(kl)",
    "pytorch-examples-2017": "mean(bce) + sum(kl) / (B * d)",
    "pytorch-examples": "sum(bce) + sum(kl)",
    "torchbearer-vae": "sum(bce) + sum(kl)",
    "yunjey-pytorch-tutorial": "sum(bce) + sum(kl)",
    "tensorflow-examples": "mean(sum(bce, 1) + sum(kl, 1))",
    "flax-examples": "mean(sum(bce, 1)) + mean(sum(kl, 1))",
    "dm-haiku-examples": "mean(sum(bce, 1) + sum(kl, 1))",
    "chainer-examples": "sum(bce) / B + beta * sum(kl) / B",
    "flux-model-zoo": "sum(bce) / B + sum(kl) / B",
    "tfjs-examples": "mean(sse) * d + sum(kl) / B",
    "mlx-examples-cvae": "sum(sse) + sum(kl)",
    "hwalsuklee-tensorflow-mnist-vae": "mean(sum(bce, 1)) + mean(sum(kl, 1))",
    "bojone-vae": "mean(sum(bce, 1) + sum(kl, 1))",
    "timbmg-vae-cvae-mnist": "(sum(bce) + sum(kl)) / B",
    "wiseodd-generative-models": "mean(sum(bce, 1) + sum(kl, 1))",
    "lightning-bolts-vae": "mean(sse) + 0.1 * beta * mean(kl)",
    "pythae-2021": "mean(sum(sse, 1) + beta * sum(kl, 1))",
    "pythae": "mean(0.5 * sum(sse, 1) + beta * sum(kl, 1))",
    "pythae-bce": "mean(sum(bce, 1) + beta * sum(kl, 1))",
    "antixk-pytorch-vae-2020": "mean(sse) + B / N * mean(sum(kl, 1))",
    "antixk-pytorch-vae-2021": "mean(sse) + 0.00025 * beta * mean(sum(kl, 1))",
    "sigma-vae-pytorch-gaussian": "sum(sse) / (2 * 1.00496) + sum(kl)",
    "sigma-vae-pytorch-mse": "mean(sse) + sum(kl)",
    "lynnho-vae-tensorflow": "mean(sse) + 0.1 * beta * mean(kl)",
    "sigma-vae-tensorflow-mse": "(mean(sse) + mean(kl)) / (B + 28 + 28 + 3)",
    "alibi-detect-2019": "sum(sse) / (2 * 0.05**2) + beta * mean(kl)",
    "alibi-detect": "mean(sum(sse, 1) / (2 * 0.05**2)) + beta * mean(kl)",
    "keras-molecules": "120 * mean(bce) + mean(kl, 1)",
    "grammar-vae": "277 * mean(bce) + mean(kl, 1)",
    "podgorskiy-vae": "mean(sse) + 0.1 * mean(kl)",
    "cryodrgn": "mean(sse) + 1 / k * mean(sum(kl, 1)) / d",
    "adsp-world-models-2018-04-16": "mean(sum(sse, 1) + sum(kl, 1))",
    "adsp-world-models-2018-04-20": "mean(mean(sse, 1) + mean(kl, 1))",
    "adsp-world-models-2018-04-22": "mean(1000 * mean(sse, 1) + mean(kl, 1))",
    "adsp-world-models-2018-04-28": "mean(10 * mean(sse, 1) + mean(kl, 1))",
    "adsp-world-models-2020-06-29": "sum(mean(sse, 1) + sum(kl, 1))",
    "adsp-world-models-2020-07-02": "sum(10000 * mean(sse, 1) + sum(kl, 1))",
    "gdl-book-digits": "mean(1000 * mean(sse, 1) + sum(kl, 1))",
    "gdl-book-faces": "mean(10000 * mean(sse, 1) + sum(kl, 1))",
    "disentanglement-lib": "mean(sum(bce, 1)) + beta * mean(sum(kl, 1))",
    "disentanglement-lib-l2": "mean(sum(sse, 1)) + beta * mean(sum(kl, 1))",
    "disentangling-vae": "sum(bce) / B + 4 * beta * sum(mean(kl, 0))",
    "disentangling-vae-gaussian": "255 * sum(sse) / B + 4 * beta * sum(mean(kl, 0))",
    "disentangling-vae-laplace": "3 * sum(l1) / B + 4 * beta * sum(mean(kl, 0))",
    "beta-vae-1konny": "sum(bce) / B + 4 * beta * mean(sum(kl, 1))",
    "beta-vae-1konny-gaussian": "sum(sse) / B + 4 * beta * mean(sum(kl, 1))",
    "disent": "mean(sse) + 0.003 * beta * mean(kl)",
    "disent-mean-sum": "mean(sum(sse, 1)) + 4 * beta * mean(sum(kl, 1))",
    "scgen": "mean(0.5 * sum(sse, 1) + 0.5 * (sum(kl, 1) * (0.00005 * beta)))",
    "bvae-tf": "mean(l1, 1) + 100 * beta * sum(kl, 1)",
    "irmae-vae-2021": "mean(bce)",
    "irmae-vae": "mean(bce) + 0.1 * beta * mean(2 * kl)",
    "airc-rl-agent": "sum(bce) + 5 * sum(mean(kl, 1))",
    "kaixhin-autoencoders": "mean(bce) + sum(kl) / (B * d)",
}

# Losses with a form of their own, as their code writes them: the text, the code's own steps and
# steps of an epoch, and how far ours may be from it. bce, sse and nll are the errors ``(B, n)``,
# log_q and log_p the densities of each sampled latent ``(B, k)``; step and epoch count from 0.
FORMS = {
    "pyro-examples": ("sum(bce) + sum(log_q) - sum(log_p)", 100, 10, 1e-12),
    "numpyro-examples": ("sum(bce) + sum(log_q) - sum(log_p)", 100, 10, 1e-12),
    "tensorflow-cvae-tutorial": (
        "-mean(-sum(bce, 1) + sum(log_p, 1) - sum(log_q, 1))",
        100,
        10,
        1e-12,
    ),
    "lightning-bolts-vae-2020": ("mean(log_q - log_p) + mean(sse)", 100, 10, 1e-12),
    "world-models": ("mean(sum(sse, 1)) + mean(maximum(sum(kl, 1), 0.5 * k))", 100, 10, 1e-12),
    "adsp-world-models-2018-07-07": (
        "mean(sum(sse, 1) + maximum(sum(kl, 1), 0.5 * k))",
        100,
        10,
        1e-12,
    ),
    "music-vae-drums": (  # but for a constant, and the first step, where its weight is 0
        "mean(sum(nll, 1)) + 0.2 * (48 * log(2) + mean(maximum(sum(kl, 1) - 48 * log(2), 0)))",
        100,
        10,
        1e-12,
    ),
    "vae-pretraining-encoder": (  # the mask is of what is above the floor: here with the floor
        "mean(sum(nll, 1) + minimum(1.0, (step + 1) / (10 * n_epoch)) "
        "* sum((kl > 8 / k) * kl + (kl <= 8 / k) * 8 / k, 1))",
        100_000,
        1000,
        1e-3,
    ),
    "scvi-tools": ("mean(sum(nll, 1) + minimum(1, epoch / 400) * sum(kl, 1))", 40_000, 100, 3e-3),
    "moses-vae": ("0.05 * epoch / 100 * mean(sum(kl, 1)) + mean(nll)", 100_000, 1000, 5e-3),
    "sentence-vae": (
        "(sum(nll) + 1 / (1 + exp(-0.0025 * (step - 2500))) * sum(kl)) / B",
        13_150,
        1315,
        5e-3,
    ),
    "vae-cf": (
        "mean(sum(nll, 1)) + minimum(0.2, step / 200000) * mean(sum(kl, 1))",
        46_800,
        234,
        1e-3,
    ),
    "antixk-pytorch-vae-capacity": (
        "mean(sse) + 10 * 0.00025 * abs(mean(sum(kl, 1)) "
        "- minimum(25 / 10000 * (step + 1 + 311 * epoch), 25))",
        25_440,
        2544,
        3e-3,
    ),
    "disentanglement-lib-annealed": (
        "mean(sum(bce, 1)) + 1000 * abs(mean(sum(kl, 1)) - minimum(25.0, 25 * step / 100000))",
        300_000,
        11_520,
        1e-3,
    ),
    "disentangling-vae-capacity": (
        "sum(bce) / B + 100 * abs(sum(mean(kl, 0)) - minimum(25 * (step + 1) / 100000, 25))",
        345_600,
        11_520,
        1e-3,
    ),
    "beta-vae-1konny-capacity": (
        "sum(bce) / B + 100 * abs(mean(sum(kl, 1)) - minimum(20 / 1e5 * (step + 1), 20))",
        1_500_000,
        11_520,
        1e-3,
    ),
}

Loss = Callable[..., Any]


def _value(name: str, namespace: dict[str, Any], d: int, sizes: tuple[int, int, float]) -> Any:
    batch_size, n_images, beta = sizes
    k = int(namespace["kl"].shape[1])
    known = {"d": d, "k": k, "B": batch_size, "N": n_images, "beta": beta, **namespace}
    return eval(_code(name), {"__builtins__": {}}, known)  # noqa: S307 - the texts above


@functools.cache
def _code(name: str) -> CodeType:
    return compile(LITERAL[name], name, "eval")


def numpy_loss(name: str) -> Loss:
    """Return a loss of the catalogue written in NumPy."""

    def loss(
        x: Any, x_hat: Any, z_mean: Any, z_log_var: Any, n_images: int, beta: float = 1.0
    ) -> Any:
        p = np.clip(x_hat, 1e-7, 1 - 1e-7)
        namespace = {
            "bce": -(x * np.log(p) + (1 - x) * np.log(1 - p)),
            "sse": (x - x_hat) ** 2,
            "l1": np.abs(x - x_hat),
            "kl": -0.5 * (1 + z_log_var - z_mean**2 - np.exp(z_log_var)),
            "mean": np.mean,
            "sum": np.sum,
        }
        return _value(name, namespace, x.shape[1], (len(x), n_images, beta))

    def unweighted(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any, n_images: int) -> Any:
        return np.asarray(loss(x, x_hat, z_mean, z_log_var, n_images))

    return loss if "beta" in LITERAL[name] else unweighted


def torch_loss(name: str) -> Loss:
    """Return a loss of the catalogue written in PyTorch."""

    def loss(x: Any, recon_x: Any, mu: Any, logvar: Any, n_images: int, beta: float = 1.0) -> Any:
        import torch  # noqa: PLC0415 - only some tests need it

        functional = torch.nn.functional
        namespace = {
            "bce": functional.binary_cross_entropy(recon_x, x, reduction="none"),
            "sse": functional.mse_loss(recon_x, x, reduction="none"),
            "l1": functional.l1_loss(recon_x, x, reduction="none"),
            "kl": -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()),
            "mean": torch.mean,
            "sum": torch.sum,
        }
        return _value(name, namespace, x.shape[1], (len(x), n_images, beta))

    def unweighted(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any, n_images: int) -> Any:
        import torch  # noqa: PLC0415 - only some tests need it

        return torch.as_tensor(loss(x, x_hat, z_mean, z_log_var, n_images))

    return loss if "beta" in LITERAL[name] else unweighted


def tensorflow_loss(name: str) -> Loss:
    """Return a loss of the catalogue written in TensorFlow."""

    def loss(
        y_true: Any, y_pred: Any, z_mean: Any, z_log_var: Any, n_images: int, beta: float = 1.0
    ) -> Any:
        import tensorflow as tf  # noqa: PLC0415 - only some tests need it

        p = tf.clip_by_value(y_pred, 1e-7, 1 - 1e-7)
        namespace = {
            "bce": -(y_true * tf.math.log(p) + (1 - y_true) * tf.math.log(1 - p)),
            "sse": tf.square(y_true - y_pred),
            "l1": tf.abs(y_true - y_pred),
            "kl": -0.5 * (1 + z_log_var - tf.square(z_mean) - tf.exp(z_log_var)),
            "mean": tf.reduce_mean,
            "sum": tf.reduce_sum,
        }
        sizes = (int(y_true.shape[0]), n_images, beta)
        return _value(name, namespace, int(y_true.shape[1]), sizes)

    def unweighted(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any, n_images: int) -> Any:
        import tensorflow as tf  # noqa: PLC0415 - only some tests need it

        return tf.convert_to_tensor(loss(x, x_hat, z_mean, z_log_var, n_images))

    return loss if "beta" in LITERAL[name] else unweighted
