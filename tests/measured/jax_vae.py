"""A VAE in JAX on digits, measured as its author would; prints its own R and K, too."""

import json
from typing import Any

import jax
import jax.numpy as jnp
from sklearn.datasets import load_digits

import lossbench

x = jnp.asarray(load_digits().data / 16, jnp.float32)
sizes = {"hidden": (64, 32), "latent": (32, 8), "back": (4, 32), "out": (32, 64)}
keys = jax.random.split(jax.random.key(0), len(sizes))
parameters = {
    name: (jax.random.normal(key, size) / size[0] ** 0.5, jnp.zeros(size[1]))
    for (name, size), key in zip(sizes.items(), keys, strict=True)
}


def forward(parameters: dict[str, Any], key: jax.Array) -> tuple[jax.Array, ...]:
    """Return x_hat, z_mean and z_log_var."""

    def dense(name: str, inputs: jax.Array) -> jax.Array:
        weights, bias = parameters[name]
        return inputs @ weights + bias

    z_mean, z_log_var = jnp.split(dense("latent", jax.nn.relu(dense("hidden", x))), 2, axis=1)
    z = z_mean + jnp.exp(z_log_var / 2) * jax.random.normal(key, z_mean.shape)
    return jax.nn.sigmoid(dense("out", jax.nn.relu(dense("back", z)))), z_mean, z_log_var


def terms(parameters: dict[str, Any], key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return R and K, the mean over the examples."""
    x_hat, z_mean, z_log_var = forward(parameters, key)
    squares = ((x - x_hat) ** 2).sum(axis=1).mean()
    return squares, -0.5 * (1 + z_log_var - z_mean**2 - jnp.exp(z_log_var)).sum(axis=1).mean()


def objective(parameters: dict[str, Any], key: jax.Array) -> jax.Array:
    """Return what is trained: a weight of 0.05 on the KL."""
    squares, kl = terms(parameters, key)
    return squares + 0.05 * kl


@jax.jit
def step(parameters: dict[str, Any], key: jax.Array) -> dict[str, Any]:
    """Descend once."""
    gradients = jax.grad(objective)(parameters, key)
    return jax.tree.map(lambda value, slope: value - 0.02 * slope, parameters, gradients)


for number in range(600):
    parameters = step(parameters, jax.random.key(number))

last = jax.random.key(600)
squares, kl = terms(parameters, last)
measured = lossbench.measure(
    x, *forward(parameters, last), reconstruction_loss="mse", beta_eff=0.05
)
print(
    json.dumps({"reconstruction": float(squares), "kl": float(kl), "measured": measured.to_dict()})
)
