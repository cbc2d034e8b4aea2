"""Arrays of whatever library somebody works with: read here, and imported by nobody."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def to_array(value: Any) -> NDArray[Any]:
    """Return a tensor of any library, on any device, or nested lists, as an array of NumPy."""
    if hasattr(value, "detach"):  # PyTorch, which has numbers that NumPy lacks
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
    return np.asarray(value)
