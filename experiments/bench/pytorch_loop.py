"""A plain PyTorch training loop."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from bench.size import BATCH_SIZE, LEARNING_RATE, Size
from lossbench.network import Convolution, Layer


class VAE(nn.Module):
    """The VAE, whose decoder ends in logits."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        network = size.network
        self.encoder = _modules(size, network.encoder)
        if isinstance(network.encoder[-1], Convolution):
            self.encoder.append(nn.Flatten())
        self.z_mean = nn.Linear(network.z_mean.fan_in, size.k)
        self.z_log_var = nn.Linear(network.z_mean.fan_in, size.k)
        self.decoder = _modules(size, network.decoder)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the logits of a batch, ``z_mean`` and ``z_log_var``."""
        hidden = self.encoder(x)
        z_mean, z_log_var = self.z_mean(hidden), self.z_log_var(hidden)
        z = z_mean + torch.exp(0.5 * z_log_var) * torch.randn_like(z_mean)
        return self.decoder(z), z_mean, z_log_var


def _modules(size: Size, layers: Sequence[Layer]) -> nn.Sequential:
    """Return layers, each with its activation; images are (channels, height, width)."""
    modules: list[nn.Module] = []
    before = None
    for layer in layers:
        if isinstance(layer, Convolution):
            if before and not isinstance(before, Convolution):
                modules.append(nn.Unflatten(1, (layer.image[2], *layer.image[:2])))
            modules.append(_convolution(layer))
        else:
            if isinstance(before, Convolution):
                modules.append(nn.Flatten())
            modules.append(nn.Linear(layer.fan_in, layer.units))
        if size.normalises(layer):
            modules += [nn.BatchNorm2d(layer.n_biases), nn.LeakyReLU()]
        elif layer.activation == "relu":
            modules.append(nn.ReLU())
        before = layer
    return nn.Sequential(*modules)


def _convolution(layer: Convolution) -> nn.Module:
    """Return a convolution that is padded alike on all sides, as PyTorch has it."""
    padding = layer.kernel_size // 2
    sizes = (layer.image[2], layer.filters, layer.kernel_size, layer.stride, padding)
    if not layer.is_transposed:
        return nn.Conv2d(*sizes)
    missing = [
        made - layer.stride * (side - 1) + 2 * padding - layer.kernel_size
        for made, side in zip(layer.made[:2], layer.image[:2], strict=True)
    ]
    return nn.ConvTranspose2d(*sizes, output_padding=tuple(missing))


def images_of(images: NDArray[np.float32]) -> torch.Tensor:
    """Return images with their channels first; rows as they are."""
    x = torch.from_numpy(images)
    return x if x.ndim == 2 else x.permute(0, 3, 1, 2).contiguous()


def loss_of(
    x: torch.Tensor, logits: torch.Tensor, z_mean: torch.Tensor, z_log_var: torch.Tensor
) -> torch.Tensor:
    """Return cross-entropy and KL, summed over inputs and latents, mean over the batch."""
    bce = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    kl = -0.5 * torch.sum(1 + z_log_var - z_mean.pow(2) - z_log_var.exp())
    return (bce + kl) / len(x)


@contextmanager
def prepared(
    size: Size,
    one_thread: bool = False,
    fused: bool | None = None,
    channels_last: bool = False,
) -> Iterator[tuple[Callable[[int], None], int]]:
    """Give what trains so many epochs, and the number of models; ``fused`` is Adam's."""
    if one_thread:
        torch.set_num_threads(1)
        torch.set_num_interop_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, images = VAE(size).to(device), images_of(size.images()).to(device)
    if channels_last:
        model, images = (it.to(memory_format=torch.channels_last) for it in (model, images))
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE, fused=fused)

    def train(n_epochs: int) -> None:
        for _ in range(n_epochs):
            for batch in torch.randperm(len(images), device=device).split(BATCH_SIZE):
                x = images[batch]
                optimizer.zero_grad()
                loss_of(x, *model(x)).backward()
                optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    yield train, 1
