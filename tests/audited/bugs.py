"""The bugs that people have had in their losses, each beside its correct twin; NumPy."""

from typing import Any

import numpy as np

Array = Any


def _bce(x: Array, x_hat: Array) -> Array:
    p = np.clip(x_hat, 1e-7, 1 - 1e-7)
    return -(x * np.log(p) + (1 - x) * np.log(1 - p))


def _kl(z_mean: Array, z_log_var: Array) -> Array:
    return -0.5 * (1 + z_log_var - z_mean**2 - np.exp(z_log_var))


def right(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    return (_bce(x, x_hat).sum(1) + _kl(z_mean, z_log_var).sum(1)).mean()


def right_scaled(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    return (x.shape[1] * _bce(x, x_hat).mean(1) + _kl(z_mean, z_log_var).sum(1)).mean()


def right_squared(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    return (0.5 * ((x - x_hat) ** 2).sum(1) + _kl(z_mean, z_log_var).sum(1)).mean()


def right_weighted(
    x: Array, x_hat: Array, z_mean: Array, z_log_var: Array, beta: float = 2.0
) -> Array:
    return (_bce(x, x_hat).sum(1) + beta * _kl(z_mean, z_log_var).sum(1)).mean()


def right_log_sigma(x: Array, x_hat: Array, z_mean: Array, z_log_std: Array) -> Array:
    kl = -0.5 * (1 + 2 * z_log_std - z_mean**2 - np.exp(2 * z_log_std))
    return (_bce(x, x_hat).sum(1) + kl.sum(1)).mean()


def right_logits(x: Array, x_logits: Array, z_mean: Array, z_log_var: Array) -> Array:
    bce = np.logaddexp(0, x_logits) - x * x_logits
    return (bce.sum(1) + _kl(z_mean, z_log_var).sum(1)).mean()


def right_batch(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array, batch_size: int) -> Array:
    return (_bce(x, x_hat).sum() + _kl(z_mean, z_log_var).sum()) / batch_size


def hard_coded_factor(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    return (784 * _bce(x, x_hat).mean(1) + _kl(z_mean, z_log_var).sum(1)).mean()


def hard_coded_divisor(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    return _bce(x, x_hat).sum(1).mean() / 784 + _kl(z_mean, z_log_var).mean()


def right_blog(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    return _bce(x, x_hat).mean(1) + _kl(z_mean, z_log_var).mean(1)


def hard_coded_shape(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    x, x_hat = x.reshape(len(x), 196), x_hat.reshape(len(x), 196)
    return (_bce(x, x_hat).sum(1) + _kl(z_mean, z_log_var).sum(1)).mean()


def kl_sign(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    return (_bce(x, x_hat).sum(1) - _kl(z_mean, z_log_var).sum(1)).mean()


def kl_without_half(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    kl = -np.sum(1 + z_log_var - z_mean**2 - np.exp(z_log_var), axis=1)
    return (_bce(x, x_hat).sum(1) + kl).mean()


def kl_added_again(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    return right(x, x_hat, z_mean, z_log_var) + _kl(z_mean, z_log_var).sum(1).mean()


def reconstruction_added_again(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    return right(x, x_hat, z_mean, z_log_var) + _bce(x, x_hat).sum(1).mean()


def no_kl(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:  # noqa: ARG001
    return _bce(x, x_hat).sum(1).mean()


def no_reconstruction(
    x: Array,  # noqa: ARG001
    x_hat: Array,  # noqa: ARG001
    z_mean: Array,
    z_log_var: Array,
) -> Array:
    return _kl(z_mean, z_log_var).sum(1).mean()


def std_squared(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    std = np.exp(z_log_var)
    kl = -0.5 * (1 + z_log_var - z_mean**2 - std**2)
    return (_bce(x, x_hat).sum(1) + kl.sum(1)).mean()


def std_for_variance(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    kl = -0.5 * (1 + z_log_var - z_mean**2 - np.exp(0.5 * z_log_var))
    return (_bce(x, x_hat).sum(1) + kl.sum(1)).mean()


def log_std_for_log_var(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    return right_log_sigma(x, x_hat, z_mean, z_log_var)


def no_mean_in_kl(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:  # noqa: ARG001
    kl = -0.5 * (1 + z_log_var - np.exp(z_log_var))
    return (_bce(x, x_hat).sum(1) + kl.sum(1)).mean()


def sign_within_kl(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    kl = -0.5 * (1 + z_log_var - z_mean**2 + np.exp(z_log_var))
    return (_bce(x, x_hat).sum(1) + kl.sum(1)).mean()


def idle_weight(
    x: Array,
    x_hat: Array,
    z_mean: Array,
    z_log_var: Array,
    beta: float = 2.0,  # noqa: ARG001
) -> Array:
    return right(x, x_hat, z_mean, z_log_var)


def batch_summed_kl(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    return _bce(x, x_hat).sum(1).mean() + _kl(z_mean, z_log_var).sum()


def partial_batch(
    x: Array, x_hat: Array, z_mean: Array, z_log_var: Array, batch_size: int
) -> Array:
    kl = _kl(z_mean, z_log_var).sum() / (batch_size * x.shape[1])
    return _bce(x, x_hat).mean() + kl


def fixed_batch(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    return _bce(x, x_hat).sum(1).mean() + _kl(z_mean, z_log_var).sum() / 128


def wrong_axis(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    return _bce(x, x_hat).sum(1).mean() + _kl(z_mean, z_log_var).sum(axis=0).mean()


def wrong_axis_of_images(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    return _bce(x, x_hat).sum(axis=0).mean() + _kl(z_mean, z_log_var).sum(1).mean()


def free_bits(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    kl = np.maximum(_kl(z_mean, z_log_var).sum(1), 0.5 * z_mean.shape[1])
    return (_bce(x, x_hat).sum(1) + kl).mean()


def free_bits_of_latents(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    kl = np.maximum(_kl(z_mean, z_log_var), 0.5).sum(1)
    return (_bce(x, x_hat).sum(1) + kl).mean()


def capped(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    kl = np.minimum(_kl(z_mean, z_log_var).sum(1), 6.0 * z_mean.shape[1])
    return (_bce(x, x_hat).sum(1) + kl).mean()


def clipped(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    return right(x, x_hat, z_mean, np.clip(z_log_var, -4.5, 3.0))


def infinite(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    with np.errstate(all="ignore"):
        bce = -(x * np.log(x_hat) + (1 - x) * np.log(1 - x_hat))
        return (bce.sum(1) + _kl(z_mean, z_log_var).sum(1)).mean()


def infinite_logits(x: Array, x_logits: Array, z_mean: Array, z_log_var: Array) -> Array:
    with np.errstate(all="ignore"):
        bce = np.log(1 + np.exp(x_logits.astype(np.float32))) - x * x_logits
        return (bce.sum(1) + _kl(z_mean, z_log_var).sum(1)).mean()


def mutating(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    total = right(x, x_hat, z_mean, z_log_var)
    x_hat *= 0.5
    return total


def without_the_last_pixel(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    return right(x[:, :-1], x_hat[:, :-1], z_mean, z_log_var)


def first_image_alone(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    return _bce(x[0], x_hat[0]).sum() + _kl(z_mean, z_log_var).sum(1).mean()


def without_the_last_latent(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    return right(x, x_hat, z_mean[:, :-1], z_log_var[:, :-1])


def swapped(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    return (_bce(x_hat, x).sum(1) + _kl(z_mean, z_log_var).sum(1)).mean()


def root(x: Array, x_hat: Array, z_mean: Array, z_log_var: Array) -> Array:
    return np.sqrt(((x - x_hat) ** 2).mean()) + _kl(z_mean, z_log_var).sum(1).mean()


BUGS = {
    "hard_coded_factor": (hard_coded_factor, right_scaled, "hard_coded"),
    "hard_coded_divisor": (hard_coded_divisor, right_blog, "hard_coded"),
    "hard_coded_shape": (hard_coded_shape, right, "hard_coded"),
    "kl_sign": (kl_sign, right, "kl_sign"),
    "kl_without_half": (kl_without_half, right_weighted, "kl_twice"),
    "kl_added_again": (kl_added_again, right_weighted, "kl_twice"),
    "reconstruction_added_again": (reconstruction_added_again, right, "reconstruction_twice"),
    "no_kl": (no_kl, right, "kl_missing"),
    "no_reconstruction": (no_reconstruction, right, "reconstruction_missing"),
    "std_squared": (std_squared, right_log_sigma, "std_for_log_var"),
    "std_for_variance": (std_for_variance, right, "std_for_log_var"),
    "log_std_for_log_var": (log_std_for_log_var, right_log_sigma, "std_for_log_var"),
    "no_mean_in_kl": (no_mean_in_kl, right, "kl_part_missing"),
    "sign_within_kl": (sign_within_kl, right, "kl_parts"),
    "idle_weight": (idle_weight, right_weighted, "idle_weight"),
    "batch_summed_kl": (batch_summed_kl, right, "batch_dependence"),
    "partial_batch": (partial_batch, right_batch, "partial_batch"),
    "fixed_batch": (fixed_batch, right, "batch_dependence"),
    "wrong_axis": (wrong_axis, right, "wrong_axis"),
    "wrong_axis_of_images": (wrong_axis_of_images, right, "wrong_axis"),
    "free_bits": (free_bits, right, "kl_floor"),
    "free_bits_of_latents": (free_bits_of_latents, right, "kl_floor"),
    "capped": (capped, right, "kl_clipped"),
    "clipped": (clipped, right, "kl_clipped"),
    "infinite": (infinite, right, "not_finite"),
    "infinite_logits": (infinite_logits, right_logits, "not_finite"),
    "mutating": (mutating, right, "mutates"),
    "without_the_last_pixel": (without_the_last_pixel, right, "uneven"),
    "first_image_alone": (first_image_alone, right, "uneven"),
    "without_the_last_latent": (without_the_last_latent, right, "uneven"),
    "swapped": (swapped, right, "swapped"),
    "root": (root, right_squared, "no_likelihood"),
}
