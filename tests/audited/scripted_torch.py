"""A loss that PyTorch scripts, and a KL that it compiles."""

import torch


@torch.compile
def _compiled_kl(mu: torch.Tensor, log_var: torch.Tensor) -> torch.Tensor:
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(1).mean()


@torch.jit.script
def scripted(
    x: torch.Tensor, x_hat: torch.Tensor, mu: torch.Tensor, log_var: torch.Tensor
) -> torch.Tensor:
    return ((x - x_hat) ** 2).sum(1).mean() + _compiled_kl(mu, log_var)
