"""A VAE in PyTorch on digits, measured as its author would; prints its own R and K, too."""

import json

import torch
from sklearn.datasets import load_digits

import lossbench

torch.manual_seed(0)
x = torch.tensor(load_digits().data / 16, dtype=torch.float32)
encoder = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 8))
decoder = torch.nn.Sequential(torch.nn.Linear(4, 32), torch.nn.ReLU(), torch.nn.Linear(32, 64))
optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 5e-3)
for _ in range(300):
    z_mean, z_log_var = encoder(x).chunk(2, dim=1)
    z = z_mean + torch.exp(z_log_var / 2) * torch.randn_like(z_mean)
    x_hat = torch.sigmoid(decoder(z))
    bce = torch.nn.functional.binary_cross_entropy(x_hat, x, reduction="sum") / len(x)
    kl = -0.5 * (1 + z_log_var - z_mean**2 - z_log_var.exp()).sum() / len(x)
    optimizer.zero_grad()
    (bce + kl).backward()
    optimizer.step()

# The tensors of the last step as they are, gradients and all.
measured = lossbench.measure(x, x_hat, z_mean, z_log_var, reconstruction_loss="bce", beta_eff=1)
print(json.dumps({"reconstruction": bce.item(), "kl": kl.item(), "measured": measured.to_dict()}))
