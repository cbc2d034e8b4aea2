"""A plain PyTorch training loop."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional

from bench.size import BATCH_SIZE, LEARNING_RATE, Size


class VAE(nn.Module):
    """The VAE, whose decoder ends in logits."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.encoder = nn.Linear(size.d, size.hidden)
        self.z_mean = nn.Linear(size.hidden, size.k)
        self.z_log_var = nn.Linear(size.hidden, size.k)
        self.decoder = nn.Linear(size.k, size.hidden)
        self.output_layer = nn.Linear(size.hidden, size.d)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the logits of a batch, ``z_mean`` and ``z_log_var``."""
        hidden = functional.relu(self.encoder(x))
        z_mean, z_log_var = self.z_mean(hidden), self.z_log_var(hidden)
        z = z_mean + torch.exp(0.5 * z_log_var) * torch.randn_like(z_mean)
        return self.output_layer(functional.relu(self.decoder(z))), z_mean, z_log_var


def loss_of(
    x: torch.Tensor, logits: torch.Tensor, z_mean: torch.Tensor, z_log_var: torch.Tensor
) -> torch.Tensor:
    """Return cross-entropy and KL, summed over inputs and latents, mean over the batch."""
    bce = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    kl = -0.5 * torch.sum(1 + z_log_var - z_mean.pow(2) - z_log_var.exp())
    return (bce + kl) / len(x)


@contextmanager
def prepared(
    size: Size, one_thread: bool = False, fused: bool | None = None
) -> Iterator[tuple[Callable[[int], None], int]]:
    """Give what trains so many epochs, and the number of models; ``fused`` is Adam's."""
    if one_thread:
        torch.set_num_threads(1)
        torch.set_num_interop_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = VAE(size).to(device)
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE, fused=fused)
    images = torch.from_numpy(size.images()).to(device)

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
