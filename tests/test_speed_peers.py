"""The benchmark's peers train what lossbench trains: as many weights, the same loss."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from small_sizes import IMAGES, SMALL

import nets
from bench import keras_fit, stack
from bench.size import BATCH_SIZE, SIZES, Size, colour, operations_per_image
from lossbench.loss import LIKELIHOODS
from lossbench.network import Convolution
from lossbench.nn.model import StackedVAE, initial_weights
from lossbench.nn.terms import kl, term

TESTS = Path(__file__).parent
small = pytest.mark.parametrize("size", SMALL, ids=lambda size: size.name)
Weights = Sequence[NDArray[Any]]


def given(size: Size) -> tuple[Weights, NDArray[np.float32], float]:
    """Return weights, images, and the loss of lossbench where z is the latent mean."""
    generator = np.random.default_rng(0)
    weights = [
        weight + generator.normal(0, 0.1, weight.shape).astype(np.float32)
        for weight in initial_weights(size.network, 0)
    ]
    images = size.images()[:IMAGES]
    model = StackedVAE(size.network, term(LIKELIHOODS["bce"]), 1, "float32")
    for variable, weight in zip(model.variables, weights, strict=True):
        variable.assign(weight.reshape(variable.shape))
    x = images.reshape(1, len(images), -1)
    z_mean, z_log_var = model.encode(x)
    total = model.reconstruction(x, z_mean) + kl(z_mean, z_log_var)
    return weights, images, float(np.mean(total))


def test_every_size_has_whole_batches_and_a_name_and_facts_of_its_own() -> None:
    """So that every way takes as many steps, and no row of the table stands for two."""
    assert all(size.n_images == size.n_steps * BATCH_SIZE for size in SIZES)
    assert len({size.name for size in SIZES}) == len(SIZES)
    assert len({tuple(size.facts.items()) for size in SIZES}) == len(SIZES)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: size.name)
def test_lossbench_trains_the_network_that_the_others_are_built_from(
    size: Size, tmp_path: Path
) -> None:
    """Asked as a user would ask, with the same batch, weight and images."""
    size = replace(size, n_images=5 * BATCH_SIZE)
    plan = stack.asked(size, 1, 1, 1, tmp_path)
    (run,) = plan.runs
    if size.is_normalised:
        assert run.architecture.name == "nets.py:colour"
        assert run.architecture.n_parameters == size.n_parameters
    else:
        assert run.architecture == size.network
    assert (run.batch_size, run.beta_eff, run.reconstruction_loss) == (BATCH_SIZE, 1, "bce")
    assert np.array_equal(plan.dataset(run).train, size.images().reshape(size.n_images, -1))


@small
def test_keras_has_the_same_weights_and_loss(size: Size, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the noise is zero."""
    weights, images, expected = given(size)
    monkeypatch.setattr(keras.random, "normal", lambda *_, **__: np.zeros(1, np.float32))
    model = keras_fit.VAE(size)
    model(images)
    assert model.count_params() == size.n_parameters
    for variable, weight in zip(model.trainable_variables, weights, strict=True):
        variable.assign(weight)
    model(images)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-5)


def test_the_colour_net_of_the_peers_is_that_of_the_file() -> None:
    """Its weights give the same image in the peer, in training too."""
    size = colour(32, 3, (4, 6))
    images = size.images()[:IMAGES]
    encoder, decoder = nets.colour((32, 32, 3), 3, (4, 6))
    peer = keras_fit.VAE(size)
    peer(images)
    own = [*encoder.trainable_variables, *decoder.trainable_variables]
    for variable, weight in zip(peer.trainable_variables, own, strict=True):
        variable.assign(weight)
    for training in (False, True):
        z, _ = encoder(images, training=training)
        hidden = peer.encoder(images, training=training)
        assert np.allclose(peer.z_mean(hidden), z, atol=1e-5)
        image = keras.ops.sigmoid(decoder(z, training=training))
        assert np.allclose(peer.decoder(z, training=training), image, atol=1e-5)
    before = [np.asarray(variable) for variable in peer.non_trainable_variables]
    peer.compile("sgd")
    peer.fit(images, verbose=0)  # is told that it trains: averages move
    after = map(np.asarray, peer.non_trainable_variables)
    assert not any(np.array_equal(*pair) for pair in zip(before, after, strict=True))


def turned(size: Size, weights: Weights) -> Iterator[NDArray[Any]]:
    """Yield the weights as PyTorch has them, for images that are turned by 180 degrees.

    PyTorch pads alike on both sides, TensorFlow more behind: turned, they see the same.
    """
    network = size.network
    before = [None, *network.encoder, network.encoder[-1], None, *network.decoder[:-1]]
    after = [*network.encoder[1:], None, None, None, *network.decoder[1:], None]
    for layer, *neighbours, kernel, bias in zip(
        network.layers, before, after, weights[::2], weights[1::2], strict=True
    ):
        if isinstance(layer, Convolution):
            yield from (kernel[::-1, ::-1].transpose(3, 2, 0, 1), bias)
            continue
        giver, taker = neighbours
        rows = np.vstack([kernel, bias])
        if isinstance(taker, Convolution):
            rows = turned_images(rows, taker.image)
        columns = rows[:-1].T
        if isinstance(giver, Convolution):
            columns = turned_images(columns, giver.made)
        yield from (columns, rows[-1])


def turned_images(rows: NDArray[Any], image: tuple[int, ...]) -> NDArray[Any]:
    """Return rows of images, turned and with their channels first."""
    images = rows.reshape(-1, *image)[:, ::-1, ::-1].transpose(0, 3, 1, 2)
    return images.reshape(len(rows), -1)


@small
def test_pytorch_has_the_same_weights_loss_and_operations(size: Size) -> None:
    """Where the noise is zero; the operations are those that PyTorch counts."""
    import torch  # noqa: PLC0415 - a loss's library counts once it is loaded
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415

    from bench import pytorch_loop  # noqa: PLC0415

    weights, images, expected = given(size)
    model = pytorch_loop.VAE(size)
    parameters = list(model.parameters())
    assert sum(parameter.numel() for parameter in parameters) == size.n_parameters
    if images.ndim == 4:
        images = images[:, ::-1, ::-1].copy()
    with torch.no_grad():
        for parameter, weight in zip(parameters, turned(size, weights), strict=True):
            parameter.copy_(torch.from_numpy(weight.copy()))
    x = pytorch_loop.images_of(images)
    with pytest.MonkeyPatch.context() as patch, FlopCounterMode(display=False) as counted:
        patch.setattr(torch, "randn_like", torch.zeros_like)
        loss = pytorch_loop.loss_of(x, *model(x))
        loss.backward()
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert counted.get_total_flops() == len(x) * operations_per_image(size.network)


def test_what_is_normalised_counts_in_every_peer() -> None:
    """Scale and offset of each convolution but the last; no ReLU beside the leaky one."""
    from bench import pytorch_loop  # noqa: PLC0415 - as above

    size = replace(SMALL[1], is_normalised=True)
    assert size.n_parameters == size.network.n_parameters + 2 * (4 + 6 + 4)
    model = keras_fit.VAE(size)
    model(size.images())
    assert sum(weight.numpy().size for weight in model.trainable_variables) == size.n_parameters
    modules = pytorch_loop.VAE(size)
    assert sum(parameter.numel() for parameter in modules.parameters()) == size.n_parameters
    assert sum(type(module).__name__ == "LeakyReLU" for module in modules.modules()) == 3


JAX = """
import sys
from functools import partial
import jax, numpy as np
from bench.jax_vmap import initial_state, loss_of
from small_sizes import SMALL
for size in SMALL:
    arrays = np.load(f"{sys.argv[1]}/{size.name}.npz")
    images, *weights = (arrays[name] for name in arrays.files)
    given = (tuple(zip(weights[::2], weights[1::2])), images, np.zeros((len(images), size.k)))
    for by_products in (False, True):
        loss, _ = jax.jit(partial(loss_of, size, by_products))(*given)
        drawn, *_ = jax.eval_shape(partial(initial_state, size), jax.random.key(0))
        print(loss, sum(weight.size for of_layer in drawn for weight in of_layer))
"""


@pytest.mark.slow
def test_jax_has_the_same_weights_and_loss(tmp_path: Path) -> None:
    """Where the noise is zero; as convolutions and as products of matrices."""
    folder = Path(sys.prefix) / "jax"
    assert folder.is_dir(), "make test installs JAX there"
    expected = []
    for size in SMALL:
        weights, images, loss = given(size)
        np.savez(tmp_path / f"{size.name}.npz", images, *weights)
        expected += [(loss, size.n_parameters)] * 2
    path = os.pathsep.join(map(str, (folder, TESTS.parent / "experiments", TESTS.parent, TESTS)))
    answer = subprocess.run(
        [sys.executable, "-c", JAX, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": path, "JAX_PLATFORMS": "cpu"},
    )
    assert answer.returncode == 0, answer.stderr
    told = [tuple(map(float, line.split())) for line in answer.stdout.splitlines()]
    assert told == [pytest.approx(pair, rel=1e-5) for pair in expected]
