"""Tensors of whatever library a loss is written in; a library counts once the user has loaded it.

Nothing is imported here that the audited file has not imported already.
"""

import functools
import inspect
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from lossbench.arrays import to_array
from lossbench.auditing.probe import Probe, arrays, channel_axis
from lossbench.auditing.source import underlying

_KNOWN = ("torch", "tensorflow", "keras", "jax")
_ALSO = {"tf_keras": "tensorflow", "tensorflow_probability": "tensorflow", "jaxlib": "jax"}
_SIZES = {"d": "d", "k": "k", "B": "batch_size", "N": "n_images"}
_LEARNED = ("x_hat", "z_mean", "z_log_var", "z_std", "z_var", "z", "latents", "x_log_var")
_STEP = 1e-4


@dataclass(frozen=True)
class Maker:
    """Makes tensors of one library at one precision; ``learned`` if they require gradients."""

    framework: str
    single: bool = False
    learned: bool = False

    def tensor(self, array: np.ndarray[Any, Any], *, learned: bool = False) -> Any:
        """Return a tensor of its own; whole numbers stay whole, and truths truths."""
        whole = array.dtype.kind in "iub"
        kinds = {"i": "i8", "u": "i8", "b": "?", "f": "f4" if self.single else "f8"}
        own = array.astype(kinds[array.dtype.kind])
        library: Any = sys.modules.get(self.framework)
        match self.framework:
            case "torch":
                made = library.from_numpy(own)
                return made.requires_grad_() if learned and self.learned and not whole else made
            case "tensorflow":
                return library.constant(own)
            case "keras":
                return library.ops.convert_to_tensor(own)
            case "jax":
                return library.numpy.asarray(own)
        return own

    @property
    def engine(self) -> str:
        """The library that takes gradients: Keras has its backend do it."""
        if self.framework == "keras":
            return str(sys.modules["keras"].backend.backend())
        return self.framework

    def distribution(self, kind: str, mean: Any, std: Any) -> Any:
        """Return a distribution by the name of its class; ``TypeError`` for a library without."""
        name = "torch" if self.framework == "torch" else "tensorflow_probability"
        library: Any = sys.modules.get(name)
        if library is None:
            raise TypeError(f"no distributions are known for {self.framework}")
        known = library.distributions
        match kind:
            case "Independent":
                return known.Independent(known.Normal(mean, std), 1)
            case "MultivariateNormal":
                return known.MultivariateNormal(mean, scale_tril=library.diag_embed(std))
            case "Bernoulli":
                return known.Bernoulli(probs=mean)
        return getattr(known, kind)(mean, std)

    def generator(self, seed: int) -> Any:
        """Return a random generator, or a key, of the library."""
        library: Any = sys.modules.get(self.framework)
        match self.framework:
            case "torch":
                return library.Generator().manual_seed(seed)
            case "tensorflow":
                return library.random.Generator.from_seed(seed)
            case "keras":
                return library.random.SeedGenerator(seed)
            case "jax":
                return library.random.PRNGKey(seed)
        return np.random.default_rng(seed)


class Values:
    """What the roles stand for on one probe, each made when it is first asked for.

    ``alias`` maps roles to others that are given in their place; ``asked`` are all that were.
    A class in ``scope`` that is made of one tensor of both latents is the user's own posterior.
    """

    def __init__(
        self, probe: Probe, maker: Maker, alias: Mapping[str, str], scope: Mapping[str, Any]
    ) -> None:
        self.probe, self.maker, self._alias, self._scope = probe, maker, alias, scope
        self._along: Any = None
        self.made: dict[str, Any] = {}
        self.asked: set[str] = set()

    def __getitem__(self, role: str) -> Any:
        """Return the value of a role."""
        self.asked.add(role)
        role = self._alias.get(role, role)
        if role not in self.made:
            self.made[role] = self._make(role)
        return self.made[role]

    def mutated(self) -> Iterator[str]:
        """Yield the roles whose tensors are no longer what they were."""
        arrays_ = _arrays(self.probe)
        for role, made in self.made.items():
            if role in arrays_ and getattr(made, "_version", True):  # PyTorch counts its changes
                before, now = arrays_[role], to_array(made)
                if now.dtype.kind == "f" and now.dtype != np.float64:
                    before = before.astype(now.dtype)
                same = np.array_equal(now, before)  # the quick answer is nearly always right
                if not (same or np.array_equal(now, before, equal_nan=True)):
                    yield role

    def slopes(self, call: Callable[[], Mapping[str, Any]]) -> Iterator[tuple[str, Any, float]]:
        """Yield what a call returns by its path, and by the gradient how fast its mean grows.

        That is along the way that the probe asks for; ``ValueError`` where nobody takes gradients.
        """
        engine, start = self.maker.engine, np.zeros(())
        library: Any = sys.modules.get(engine)
        match engine:
            case "torch":
                self._along = self.maker.tensor(start).requires_grad_()
                for path, value in call().items():
                    slope = None
                    if getattr(value, "requires_grad", False):
                        wanted = {"retain_graph": True, "allow_unused": True}
                        (slope,) = library.autograd.grad(value.mean(), [self._along], **wanted)
                    yield path, value, float(slope or 0.0)
            case "tensorflow":
                with library.GradientTape(persistent=True) as tape:
                    self._along = self.maker.tensor(start)
                    tape.watch(self._along)
                    found = call()
                for path, value in found.items():
                    is_felt = library.is_tensor(value) and value.dtype.is_floating
                    slope = tape.gradient(value, self._along) if is_felt else None
                    yield path, value, float(slope or 0.0) / max(1, np.size(value))
            case "jax":
                others: dict[str, Any] = {}

                def traced(along: Any) -> dict[str, Any]:
                    self._along = along
                    found = call()
                    felt = {
                        path: value
                        for path, value in found.items()
                        if isinstance(value, library.Array) and value.dtype.kind == "f"
                    }
                    others.update({path: found[path] for path in found.keys() - felt.keys()})
                    return felt

                tensor = self.maker.tensor
                values, slopes = library.jvp(traced, (tensor(start),), (tensor(start + 1),))
                for path, value in values.items():
                    yield path, value, float(slopes[path].mean())
                yield from ((path, value, 0.0) for path, value in others.items())
            case _:
                raise ValueError(f"{engine} takes no gradients")

    def _way(self, role: str) -> np.ndarray[Any, Any] | None:
        """Return the way along which the probe moves the tensor of a role, if it does."""
        ahead, behind = (_arrays(self.probe.further(step))[role] for step in (_STEP, -_STEP))
        way = (ahead - behind) / (2 * _STEP)
        return way if way.any() else None

    def _make(self, role: str) -> Any:  # noqa: PLR0911 - a case for every role
        probe, arrays_ = self.probe, _arrays(self.probe)
        if role in _SIZES:
            return getattr(probe, _SIZES[role])
        if role in arrays_:
            made = self.maker.tensor(arrays_[role], learned=role in _LEARNED)
            felt = self._along is not None and role in _LEARNED
            way = self._way(role) if felt else None
            return made if way is None else made + self._along * self.maker.tensor(way)
        match role:
            case "posterior" if self._alias.get("posterior as") == "own":
                return self._own_posterior()(self["latents"])
            case "posterior":
                return self._distribution(role, self["z_mean"], self["z_std"])
            case "prior":
                zero = arrays_["prior_mean"]
                tensor = self.maker.tensor
                return self._distribution(role, tensor(zero), tensor(zero + 1))
            case "likelihood":
                one = self.maker.tensor(arrays_["x_log_var"] + 1)
                return self._distribution(role, self["x_hat"], one)
            case "rng":
                return self.maker.generator(probe.seed)
            case "training":
                return probe.training
            case "index":
                return 0
            case "shape":
                return probe.shape
            case "channels":
                shape = probe.shape
                return shape[channel_axis(shape)] if len(shape) == 3 else 1
        raise KeyError(role)

    def _own_posterior(self) -> Any:
        for kind in filter(inspect.isclass, self._scope.values()):
            try:
                parameters = inspect.signature(kind).parameters.values()
            except (TypeError, ValueError):
                continue
            needed = [p.name for p in parameters if p.default is p.empty]
            if needed in (["parameters"], ["moments"], ["params"]):
                return kind
        raise TypeError("the file has no class of a posterior that is made of one tensor of both")

    def _distribution(self, role: str, mean: Any, std: Any) -> Any:
        return self.maker.distribution(self._alias.get(f"{role} as", "Normal"), mean, std)


@functools.lru_cache(maxsize=4)
def _arrays(probe: Probe) -> Mapping[str, np.ndarray[Any, Any]]:
    """Return the array of every role that is one."""
    drawn = arrays(probe)
    x, z_mean = drawn["x"], drawn["z_mean"]
    with np.errstate(all="ignore"):
        z = z_mean + drawn["z_std"] * drawn["noise"]
    return drawn | {
        "z": z,
        "latents": np.concatenate([z_mean, drawn["z_log_var"]], 1),
        "x_log_var": np.zeros_like(x),
        "prior_mean": np.zeros_like(z_mean),
        "prior_log_var": np.zeros_like(z_mean),
        "mask": np.ones(x.shape[:2] if x.ndim == 3 else x.shape),
        "padding": np.zeros(x.shape[:2] if x.ndim == 3 else x.shape, bool),
        "lengths": np.full(len(x), x.shape[1], np.int64),
        "label": np.zeros(len(x), np.int64),
    }


def makers(loss: object, owner: type) -> Iterator[Maker]:
    """Yield the ways to call a loss of a class, the likeliest first, double precision first."""
    for framework in _named_in(loss, owner):
        for learned in (True, False) if framework == "torch" else (False,):
            for single in (False, True):
                yield Maker(framework, single, learned)


def seed_everything(seed: int, framework: str) -> None:
    """Seed the generators of Python, of NumPy and of the library that a loss is called in."""
    random.seed(seed)
    np.random.seed(seed)
    library: Any = sys.modules.get(framework)
    match framework:
        case "torch":
            library.default_generator.manual_seed(seed)  # the common one notes where it was called
        case "tensorflow":
            library.random.set_seed(seed)
        case "keras":
            library.utils.set_random_seed(seed)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Swallow what is printed, and put the common random generators back afterwards."""
    torch: Any = _loaded("torch")
    own, numbers = random.getstate(), np.random.get_state()
    tensors = torch.get_rng_state() if torch is not None else None
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        try:
            yield
        finally:
            random.setstate(own)
            np.random.set_state(numbers)
            if torch is not None:
                torch.set_rng_state(tensors)


def _loaded(name: str) -> Any:
    """Return a library that is loaded to its end."""
    module = sys.modules.get(name)
    return module if hasattr(module, "__version__") else None


def _named_in(loss: object, owner: type) -> list[str]:
    """Return the loaded libraries and NumPy, those that the loss itself names before the others."""
    own = _used_by(underlying(loss), set())
    own |= {_root(kind) for kind in owner.__mro__}
    loaded = [name for name in _KNOWN if _loaded(name) is not None]
    if own & {"numpy", "scipy"} and not own & {*_KNOWN}:
        return ["numpy", *loaded]
    return [*sorted(loaded, key=lambda name: name not in own), "numpy"]


def _used_by(function: object, seen: set[int]) -> set[str]:
    """Return the packages that a function names, or a function of the same file that it calls."""
    if not isinstance(function, FunctionType) or id(function) in seen:
        return set()
    seen.add(id(function))
    names = set(function.__code__.co_names)
    used = {_ALSO.get(name, name) for name in names} & {*_KNOWN, "numpy"}  # imported inside it
    known = function.__globals__
    for value in (known[name] for name in names & known.keys()):
        inner = underlying(value)
        own = isinstance(inner, FunctionType) and inner.__globals__ is known
        used |= _used_by(inner, seen) if own else {_root(value)}
        if inner is not value:
            used |= {_root(type(value))}  # the decorator's library
    return used


def _root(value: object) -> str:
    name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "")
    root = str(name or "").partition(".")[0]
    return _ALSO.get(root, root)
