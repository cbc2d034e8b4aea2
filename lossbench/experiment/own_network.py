"""A network of the user's own: ``build(shape, k)`` in a Python file, as an experiment has it.

What it builds for each shape of the data and each k is frozen with the experiment, so a results
folder is read without running anybody's code.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from lossbench.experiment.own_file import OwnFile, frozen, frozen_file, read_file
from lossbench.network import Built
from lossbench.words import counted

SECTION = "own_network"

_FOUND = ("shape", "k", "n_parameters", "n_activations", "untold", "ends_in")


@dataclass(frozen=True)
class OwnNetwork:
    """A function that builds encoder and decoder, with what it was found to build."""

    name: str
    sha256: str
    built: tuple[Built, ...] = ()
    file: OwnFile = field(compare=False, default=OwnFile(Path(), "", b""))

    @property
    def identity(self) -> str:
        """What makes it this network: the content of the file, and which function of it."""
        return f"{self.sha256} {self.file.function}"

    def at(self, shape: tuple[int, ...], k: int) -> Built | None:
        """Return what it builds for images of this shape and for k; None where that is not known.

        An image without channels is grey.
        """
        wanted = shape_of(shape), k
        return next((each for each in self.built if (each.shape, each.k) == wanted), None)

    def table(self) -> dict[str, object]:
        """Return it as a frozen experiment has it."""
        return {
            "file": self.file.path.name,
            "function": self.file.function,
            "sha256": self.sha256,
            "built": [
                {name: _plain(getattr(each, name)) for name in _FOUND} for each in self.built
            ],
        }


def _plain(value: Any) -> object:
    return list(value) if isinstance(value, tuple) else value


def shape_of(image: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that a function is given: (height, width, channels), or (d,) of a table."""
    return (*image, 1) if len(image) == 2 else image


def read_network(text: str, where: str, beside: Path | None = None) -> OwnNetwork:
    """Return the network that ``FILE.py:FUNCTION`` names; errors are those of ``read_file``."""
    file = read_file(text, "network", where, beside)
    return OwnNetwork(file.name, file.sha256, file=file)


def with_built(network: OwnNetwork, *built: Built) -> OwnNetwork:
    """Return a network that is known to build these, too; what they are called follows from it."""
    named = (
        replace(
            each,
            name=network.name,
            sha256=network.sha256,
            file=network.file.path,
            source=network.file.source,
        )
        for each in built
    )
    return replace(network, built=(*network.built, *named))


def frozen_networks(tables: object, beside: Path, where: str) -> dict[str, OwnNetwork]:
    """Return the networks of a frozen experiment, with what they build.

    ``ExperimentError`` if a table is damaged, or the file beside it is another one by now.
    """
    return frozen(tables, SECTION, "network", where, partial(_frozen, beside=beside))


def _frozen(name: str, table: Mapping[str, Any], beside: Path) -> OwnNetwork:
    file, function, sha256 = (str(table[key]) for key in ("file", "function", "sha256"))
    found = frozen_file(name, file, function, sha256, beside)
    return with_built(OwnNetwork(name, sha256, file=found), *map(read_built, table["built"]))


def read_built(table: Mapping[str, Any]) -> Built:
    """Return what was found of a network; it has no name yet."""
    return Built(
        "",
        "",
        tuple(int(side) for side in table["shape"]),
        int(table["k"]),
        n_parameters=int(table["n_parameters"]),
        n_activations=int(table["n_activations"]),
        untold=str(table["untold"]),
        ends_in=str(table["ends_in"]),
    )


def told(network: OwnNetwork) -> Iterator[str]:
    """Yield in sentences what a network is, and what makes its runs its own."""
    for each in network.built:
        shape = " x ".join(map(str, each.shape))
        yield (
            f"{network.name} for {shape}, k {each.k}: "
            f"{counted(each.n_parameters, 'trained parameter')}"
        )
        if each.untold:
            yield f"no threshold is told: {each.untold}"
    yield (
        f"its runs are those of {network.file.function} in a {network.file.path.name} of SHA-256 "
        f"{network.sha256[:12]}, whatever that imports"
    )
