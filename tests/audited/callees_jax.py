"""Losses by how they are called: JAX."""

from typing import Any

import jax
import jax.numpy as jnp


@jax.vmap
def kl(mu: Any, log_var: Any) -> Any:
    return 0.5 * jnp.sum(mu**2 + jnp.exp(log_var) - 1 - log_var)


@jax.jit
def jitted(x: Any, x_hat: Any, mu: Any, log_var: Any) -> Any:
    return ((x - x_hat) ** 2).sum(1).mean() + kl(mu, log_var).mean()


def sampled(rng: Any, x: Any, x_hat: Any, mu: Any, log_var: Any) -> Any:
    noise = jax.random.normal(rng, mu.shape)
    return jitted(x, x_hat, mu, log_var) + noise.mean()
