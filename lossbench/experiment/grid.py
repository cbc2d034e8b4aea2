"""The grid: every run of an experiment, and which experiments may share a results folder."""

import functools
import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import nan
from typing import Any

from lossbench.errors import ExperimentError, did_you_mean
from lossbench.experiment import own_loss, own_network
from lossbench.experiment.definitions import identity_of, known, shown_of
from lossbench.experiment.own_loss import OwnLoss
from lossbench.experiment.own_network import OwnNetwork
from lossbench.loss import (
    LIKELIHOODS,
    NAMES,
    OWN,
    OWN_SETTINGS,
    SAMPLED,
    Capacity,
    Convention,
    Schedule,
    Sizes,
    canonical,
    capacity,
    entry,
    floor_told,
    likelihood,
    numbered_groups,
)
from lossbench.network import KERAS_IO_HIDDEN, OWN_LAYERS
from lossbench.settings import AXES, FIXED, KEYS, RunSettings, Value, place
from lossbench.words import counted, joined, setting

Grid = dict[str, tuple[Value, ...]]
# d, the number of training images, and the names of the columns, if they have some.
NativeSizes = tuple[int, int, tuple[str, ...]]

_MOST_RUNS = 1_000_000
_HISTORY_ROWS = 50
_LEARNED = ("sigma", "dispersion")  # where they are no numbers
_OF_KL = ("kl_schedule", "free_bits", "capacity", "kl_estimator")
_LAYERS = tuple(dict.fromkeys(name for names in OWN_LAYERS.values() for name in names))


@dataclass(frozen=True)
class Experiment:
    """One question: the fixed settings, and one or more grids of what varies.

    ``fixed`` has a value for every key outside [sweep]; each grid maps axes to their values.
    ``data_sha256`` maps ``<dataset> at d=<d>`` to the hash of the data that was trained on; it
    is empty until the experiment is frozen in a results folder; ``n_images`` maps datasets to
    the size of their training split, once it is known; ``image_shapes`` maps the data of networks
    that see images to the shape of one; ``conventions`` holds those that the file itself defines,
    ``networks`` those of the user's own files. ``places`` tells in which line of a file, or in
    which option, a value of a key stands: some can be checked only once the data is known.
    """

    name: str
    fixed: Mapping[str, Value]
    grids: tuple[Grid, ...]
    data_sha256: Mapping[str, str] = field(default_factory=dict)
    n_images: Mapping[str, int] = field(default_factory=dict)
    image_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    conventions: Mapping[str, Convention] = field(default_factory=dict)
    networks: Mapping[str, OwnNetwork] = field(default_factory=dict)
    places: Mapping[tuple[str, Value], str] = field(default_factory=dict, compare=False)

    def datasets(self) -> tuple[str, ...]:
        """Return the names of every dataset of the grids, without repetition."""
        names = (grid.get("dataset", (self.fixed["dataset"],)) for grid in self.grids)
        return tuple(dict.fromkeys(str(name) for axis in names for name in axis))

    def convention(self, loss: str) -> Convention:
        """Return the convention of that name, the experiment's own or the catalogue's."""
        return known(loss, self.conventions)

    def own_losses(self) -> tuple[OwnLoss, ...]:
        """Return the losses of the grids that are functions in a file of the user's own."""
        names = dict.fromkeys(str(name) for grid in self.grids for name in grid["loss"])
        losses = (self.conventions.get(name) for name in names)
        return tuple(loss for loss in losses if isinstance(loss, OwnLoss))

    def own_networks(self) -> tuple[OwnNetwork, ...]:
        """Return the networks of the grids that are functions in a file of the user's own."""
        return tuple(self.networks[name] for name in self._networks() if name in self.networks)

    @property
    def has_own_files(self) -> bool:
        """Whether a loss or a network of the grids is a function in a file of the user's own."""
        return bool(self.own_losses() or self.own_networks())

    def own_files_told(self) -> Iterator[str]:
        """Yield in sentences what is known of the losses and networks of the user's own."""
        for loss in self.own_losses():
            yield from own_loss.told(loss)
        for network in self.own_networks():
            yield from own_network.told(network)

    def _networks(self) -> tuple[str, ...]:
        """Return the names of every network of the grids, without repetition."""
        names = (grid.get("network", (self.fixed["network"],)) for grid in self.grids)
        return tuple(dict.fromkeys(str(name) for axis in names for name in axis))

    def resolved(self, native_sizes: Callable[[str], NativeSizes]) -> "Experiment":
        """Return the experiment with every grid's d spelt out and the size of its data known.

        ``native_sizes`` gives a dataset's own d, the number of its training images, and the names
        of its columns, whose places ``groups`` has from here on.
        """
        sizes = {name: native_sizes(name) for name in self.datasets()}
        columns = {name: names for name, (_, _, names) in sizes.items()}
        grids: list[Grid] = []
        for grid in self._with_places(columns):
            if "d" in grid:
                grids.append(grid)
                continue
            for dataset in grid.get("dataset", (self.fixed["dataset"],)):
                one = grid | {"d": (sizes[str(dataset)][0],)}
                one |= {"dataset": (dataset,)} if "dataset" in grid else {}
                grids.append({name: one[name] for name in (*AXES, *FIXED) if name in one})
        n_images = {name: n_train for name, (_, n_train, _) in sizes.items()}
        fixed = dict(self.fixed)
        fixed["groups"] = self._groups_by_place(str(fixed["groups"]), columns)
        return replace(self, fixed=fixed, grids=tuple(grids), n_images=n_images)

    def _with_places(self, columns: Mapping[str, tuple[str, ...]]) -> Iterator[Grid]:
        """Yield the grids, with the places of columns where their ``groups`` have names."""
        for grid in self.grids:
            asked = map(str, grid.get("groups", ()))
            mine = {str(x): columns[str(x)] for x in grid.get("dataset", (self.fixed["dataset"],))}
            places = tuple(self._groups_by_place(groups, mine) for groups in asked)
            yield grid | {"groups": places} if places else grid

    def _groups_by_place(self, groups: str, columns: Mapping[str, tuple[str, ...]]) -> str:
        """Return ``groups`` with the places of columns for their names; refuse unknown ones."""
        if not re.search(r"[^\W\d]", groups):  # fast, where there are no names
            return groups
        found = set()
        for dataset, names in columns.items():
            try:
                found.add(numbered_groups(groups, names))
            except ValueError as problem:
                few = f"{', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"
                raise ExperimentError(
                    f"`groups` names a column that {dataset} does not have",
                    where=self.places.get(("groups", groups), ""),
                    expected=f"columns by place, from 1, or by name: {few}"
                    if names
                    else "columns by place, from 1: this data has no names of columns",
                    received=str(problem),
                    remedy="" if "-" in str(problem) else did_you_mean(str(problem), names),
                ) from problem
        if len(found) > 1:
            raise ExperimentError(
                "the columns that `groups` names stand in other places in each dataset",
                where=self.places.get(("groups", groups), ""),
                expected="tables with the same columns in one grid",
                received=joined(sorted(found)),
                remedy="write a second [[sweep]] for the other dataset",
            )
        return found.pop()

    def shaped(
        self, runs: Iterable[RunSettings], shape_of: Callable[[RunSettings], tuple[int, ...]]
    ) -> "Experiment":
        """Return the experiment with the shape of the images that its ``runs`` see.

        ``ExperimentError`` where a network sees images and the data is a table.
        """
        shapes: dict[str, tuple[int, ...]] = {}
        for run in runs:
            if not run.sees_images:
                continue
            place = data_place(run.dataset, run.d)
            shapes[place] = shape_of(run)
            if len(shapes[place]) == 1 and run.network not in self.networks:
                raise ExperimentError(
                    f"network = {run.network} sees images, and this data is a table",
                    where=self.places.get(("network", run.network), "") or place,
                    expected="images of shape (H, W) or (H, W, C)",
                    received=f"{place}: rows of shape {shapes[place]}",
                    remedy="network = dense, or save the images with their sides: (n, H, W, C)",
                )
        return replace(self, image_shapes=shapes) if shapes else self

    def runs(self) -> tuple[RunSettings, ...]:
        """Return every run of a resolved experiment once, in the order of the tables.

        ``ExperimentError`` if there are too many, or a schedule is longer than the training.
        """
        n_runs = sum(math.prod(map(len, grid.values())) for grid in self.grids)
        if n_runs > _MOST_RUNS:
            raise ExperimentError(
                "the grid is too large",
                expected=f"at most {_MOST_RUNS:,} runs",
                received=f"{n_runs:,} runs",
                remedy="split it into several experiments",
            )
        self._check_own()
        runs = itertools.chain.from_iterable(
            _runs(dict(self.fixed) | values, grid["seeds"], self)
            for grid in self.grids
            for values in _settings(grid)
        )
        self._check_parameters()
        self._check_floor()
        self._check_layers()
        distinct = tuple({run.run_id: run for run in sorted(runs, key=place)}.values())
        for run in distinct:
            self._check_function(run)
            self._check_kl_form(run)
            if run.dataset in self.n_images:
                self._check_lengths(run, *run.steps(self.n_images[run.dataset]))
        return distinct

    def _check_parameters(self) -> None:
        """Refuse a parameter that no likelihood of the experiment has."""
        kinds = {
            _likelihood(str(kind), str(loss), self.conventions)
            for grid in self.grids
            for kind in grid["reconstruction_loss"]
            for loss in grid["loss"]
        }
        for name in OWN_SETTINGS:
            users = [x.name for x in LIKELIHOODS.values() if name in x.own_settings]
            if not kinds.intersection(users):
                expected, received = " or ".join(users), joined(sorted(kinds))
                self._refuse_given(name, "likelihood", expected, f"reconstruction_loss {received}")
        for kind in (likelihood(str(kind)) for kind in sorted(kinds, key=str)):
            for sigma in self._everywhere("sigma"):
                if isinstance(sigma, str) and "sigma" in kind.parameters and not kind.learnable:
                    raise ExperimentError(
                        f"the sigma of {kind.name} is not learned",
                        where=self.places.get(("sigma", sigma), ""),
                        expected=f"a number where reconstruction_loss is {kind.name}",
                        received=sigma,
                        remedy="sigma = 1 for columns of variance 1; gaussian learns its own",
                    )

    def _check_layers(self) -> None:
        """Refuse a setting of layers that no network of the experiment has."""
        networks = self._networks()
        for name in _LAYERS:
            users = [network for network, has in OWN_LAYERS.items() if name in has]
            if not {*networks}.intersection(users):
                expected, received = f"network {joined(users, 'or')}", joined(sorted(networks))
                self._refuse_given(name, "network", expected, f"network {received}")

    def _everywhere(self, name: str) -> tuple[Value, ...]:
        """Return the values of a key in the file and in every grid."""
        return self.fixed[name], *(x for grid in self.grids for x in grid.get(name, ()))

    def _refuse_given(self, name: str, noun: str, expected: str, received: str) -> None:
        """Refuse a value other than the default of a key that means nothing here."""
        asked = [value for value in self._everywhere(name) if value != FIXED[name]]
        if asked:
            raise ExperimentError(
                f"`{name}` is given, and no {noun} of the experiment has it",
                where=self.places.get((name, asked[0]), ""),
                expected=expected,
                received=received,
            )

    def _check_own(self) -> None:
        """Refuse what contradicts a loss: another value of a key than its own."""
        for grid in self.grids:
            kinds = tuple(map(str, grid["reconstruction_loss"]))
            for loss in map(str, grid["loss"]):
                if OWN in kinds:
                    self._check_own_likelihood(loss)
                for k, kind in itertools.product(map(int, map(str, grid["k"])), kinds):
                    likelihood_of = _likelihood(kind, loss, self.conventions)
                    for name, own in _own(loss, k, likelihood_of, self.conventions).items():
                        self._check_contradiction(grid, f"loss {loss} at k = {k}", name, own)

    def _check_contradiction(self, grid: Grid, loss: str, name: str, own: Value) -> None:
        for value in self._given(grid, name):
            if value != own and self._is_asked(grid, name, value):
                raise ExperimentError(
                    f"`{name}` contradicts {loss}, which has its own",
                    where=self.places.get((name, value), ""),
                    expected=f"{name} {setting(own)}, or no `{name}`",
                    received=setting(value),
                    remedy="write a second [[sweep]] for the other losses",
                )

    def _check_own_likelihood(self, loss: str) -> None:
        if not _likelihood(OWN, loss, self.conventions):
            raise ExperimentError(
                f"loss {loss} has no likelihood of its own that a sweep could train",
                where=self.places.get(("reconstruction_loss", OWN), ""),
                expected=NAMES,
                received=f"reconstruction_loss {OWN}",
            )

    def _is_asked(self, grid: Grid, name: str, value: Value) -> bool:
        """Return whether somebody wrote the value: a default that nobody wrote is none."""
        return name in grid or value != FIXED[name] or (name, value) in self.places

    def _check_floor(self) -> None:
        """Refuse to say what has a floor where there is none."""
        floors = {x for grid in self.grids for x in grid.get("free_bits", ())}
        given = [self._given(grid, "free_bits_over") for grid in self.grids]
        asked = [x for values in given for x in values if x != FIXED["free_bits_over"]]
        if asked and not any(floors | {self.fixed["free_bits"]}):
            raise ExperimentError(
                "`free_bits_over` says what has a floor, and no run has one",
                where=self.places.get(("free_bits_over", asked[0]), ""),
                expected="free_bits above 0 beside it",
                received="free_bits 0",
            )

    def _given(self, grid: Grid, name: str) -> tuple[Value, ...]:
        """Return the values of a key in a grid; that of the file if it is no axis."""
        return grid.get(name, (self.fixed[name],))

    def _check_function(self, run: RunSettings) -> None:
        """Refuse what would change a function of the user's own that is trained itself."""
        if not run.function:
            return
        for name in _OF_KL:
            if (asked := getattr(run, name)) != FIXED[name]:
                raise ExperimentError(
                    f"`{name}` changes the KL term, and {run.loss} is trained itself",
                    where=self.places.get((name, asked), ""),
                    expected=f"no `{name}`: write it into the function",
                    received=setting(asked),
                    remedy="write a second [[sweep]] for the other losses",
                )
        for name in set(_LEARNED) & {*run.likelihood.parameters}:
            if isinstance(asked := getattr(run, name), str):
                raise ExperimentError(
                    f"`{name}` is learned, and {run.loss}, which is trained itself, has none",
                    where=self.places.get((name, asked), ""),
                    expected=f"a number for {name}: the likelihood that R and the ELBO are of",
                    received=asked,
                )

    def _check_kl_form(self, run: RunSettings) -> None:
        """Refuse what makes no form of the KL term."""
        is_sampled = run.kl_estimator == "sample"
        if run.free_bits and run.kl_form.bounded == "capacity":
            raise ExperimentError(
                "`free_bits` and `capacity` in one run contradict each other",
                where=self.places.get(("capacity", run.capacity), ""),
                expected="one of the two",
                received=f"free_bits {setting(run.free_bits)} and capacity {run.capacity}",
                remedy="write a second [[sweep]] for the other",
            )
        if is_sampled and run.noise_std != 1:
            raise ExperimentError(
                "`kl_estimator` samples another KL than the closed form where noise_std is not 1",
                where=self.places.get(("kl_estimator", run.kl_estimator), ""),
                expected="noise_std 1, or kl_estimator closed",
                received=f"noise_std {setting(run.noise_std)}",
            )
        if is_sampled and run.kl_form.bounded in ("latent_example", "total_example"):
            raise ExperimentError(
                "`kl_estimator` samples a KL that is often below any floor under one example's",
                where=self.places.get(("kl_estimator", run.kl_estimator), ""),
                expected="kl_estimator closed, or free_bits_over latent or total",
                received=f"kl_estimator sample with free_bits_over {run.free_bits_over}",
            )

    def _check_lengths(self, run: RunSettings, n_steps: int, steps_an_epoch: int) -> None:
        """Refuse a schedule or a capacity that does not fit into the training."""
        parts: dict[str, Schedule | Capacity] = {
            "kl_schedule": run.schedule,
            "capacity": capacity(str(run.capacity)),
        }
        for name, part in parts.items():
            if misfit := part.misfit(n_steps, steps_an_epoch):
                raise ExperimentError(
                    f"`{name}` {misfit}",
                    where=self.places.get((name, str(part)), ""),
                    expected=f"what fits into {counted(run.epochs, 'epoch')} of "
                    f"{counted(steps_an_epoch, 'step')} on {run.dataset}",
                    received=str(part),
                    remedy=part.remedy(n_steps),
                )

    def schedules_told(self, runs: Iterable[RunSettings]) -> tuple[str, ...]:
        """Return for every schedule of the experiment's runs what it does and how it ends."""
        told = (
            run.schedule.told(*run.steps(self.n_images[run.dataset]))
            for run in runs
            if run.is_scheduled
        )
        return tuple(dict.fromkeys(told))

    def forms_told(self, runs: Iterable[RunSettings]) -> tuple[str, ...]:
        """Return for every floor, capacity and estimator of the runs what it does to their KL."""
        told = (told for run in runs for told in _forms(run, self.n_images[run.dataset]))
        return tuple(sorted(set(told)))

    def varying(self) -> dict[str, tuple[Value, ...]]:
        """Return the axes that hold more than one value, over all grids."""
        axes: dict[str, list[Value]] = {}
        for grid in self.grids:
            for name in (*grid, *(name for name in FIXED if name not in grid)):
                axes.setdefault(name, []).extend(grid.get(name, (self.fixed.get(name, ""),)))
        distinct = {name: tuple(dict.fromkeys(values)) for name, values in axes.items()}
        return {name: values for name, values in distinct.items() if len(values) > 1}


def _forms(run: RunSettings, n_images: int) -> Iterator[str]:
    if run.free_bits:
        floor = floor_told(run.free_bits, run.free_bits_over)
        yield f"free_bits {setting(run.free_bits)} over {run.free_bits_over}: {floor}"
    elif run.is_bounded:
        yield f"C of {capacity(str(run.capacity)).told(*run.steps(n_images))}"
    if run.kl_estimator == "sample":
        yield f"kl_estimator sample: {SAMPLED}"


def extended(frozen: Experiment, asked: Experiment) -> Experiment:
    """Return ``frozen`` with the grids of ``asked`` that it lacks.

    Two experiments share a folder if they agree in everything outside the grid and in their
    data; ``ExperimentError`` names what differs.
    """
    differing = [
        (name, frozen.fixed[name], asked.fixed[name])
        for name in FIXED
        if KEYS[name].identity and frozen.fixed[name] != asked.fixed[name]
    ]
    if _eval_every(frozen.fixed) == _eval_every(asked.fixed):
        differing = [found for found in differing if found[0] != "eval_every"]
    differing += [
        (f"the data of {name}", frozen.data_sha256[name][:12], sha256[:12])
        for name, sha256 in asked.data_sha256.items()
        if frozen.data_sha256.get(name, sha256) != sha256
    ]
    differing += [
        (f"convention {name}", shown_of(loss), shown_of(other))
        for name, loss in frozen.conventions.items()
        if identity_of(other := asked.conventions.get(name, loss)) != identity_of(loss)
    ]
    differing += [
        (f"network {name}", f"a file of SHA-256 {known.sha256[:12]}", f"one of {new.sha256[:12]}")
        for name, known in frozen.networks.items()
        if (new := asked.networks.get(name, known)) != replace(known, built=new.built)
    ]
    if differing:
        raise ExperimentError(
            "the two are different experiments",
            expected=", ".join(f"{name} = {_shown(value)}" for name, value, _ in differing),
            received=", ".join(f"{name} = {_shown(value)}" for name, _, value in differing),
        )
    unknown = [grid for grid in asked.grids if grid not in frozen.grids]
    known = {run.run_id for run in frozen.runs()} if unknown else set()
    added = tuple(
        grid
        for grid in unknown
        if not {run.run_id for run in replace(asked, grids=(grid,)).runs()} <= known
    )
    return replace(
        frozen,
        grids=frozen.grids + added,
        fixed=asked.fixed,
        data_sha256=dict(frozen.data_sha256) | dict(asked.data_sha256),
        n_images=dict(frozen.n_images) | dict(asked.n_images),
        image_shapes=dict(frozen.image_shapes) | dict(asked.image_shapes),
        conventions=dict(frozen.conventions) | dict(asked.conventions),
        networks=dict(frozen.networks) | dict(asked.networks),
    )


def data_place(dataset: str, d: int) -> str:
    """Return how a dataset at a d is named where a results folder says what it was."""
    return f"{dataset} at d={d}"


def _shown(value: Value) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)


def _eval_every(values: Mapping[str, Any]) -> int:
    """Return the epochs between two rows of the history; 0 stands for about 50 rows."""
    epochs = int(values["epochs"])
    return min(int(values["eval_every"]) or math.ceil(epochs / _HISTORY_ROWS), epochs)


@functools.lru_cache(maxsize=2**16)
def _weights(
    loss: Convention, sizes: Sizes, beta: float, beta_eff: float | None
) -> tuple[float, float, float, float]:
    """Return beta, a, b and beta_eff; where ``beta_eff`` is given, beta is derived from it."""
    if beta_eff is not None:
        beta = float(loss.beta(canonical(beta_eff), sizes))
    beta = canonical(beta)
    found = loss.coefficients(sizes, beta)
    effective = canonical(float(found.beta_eff) if beta_eff is None else beta_eff)
    return beta, float(found.a), float(found.b), effective


def _own(loss: str, k: int, kind: str, own: Mapping[str, Convention]) -> dict[str, str | float]:
    """Return the settings that a loss of the catalogue has of its own, with a likelihood."""
    return {} if loss in own else entry(loss).settings(k, kind)


def _likelihood(kind: str, loss: str, own: Mapping[str, Convention]) -> str:
    """Return the name of a likelihood; ``own`` is that of the loss, empty if it has none."""
    if kind != OWN:
        return kind
    if loss not in own:
        return entry(loss).likelihood
    found = own[loss]
    return found.reconstruction_loss if isinstance(found, OwnLoss) else ""


def _settings(grid: Grid) -> Iterator[dict[str, Value]]:
    """Yield every combination of the axes other than the seeds."""
    axes = {name: values for name, values in grid.items() if name != "seeds"}
    return (dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values()))


def _runs(
    values: dict[str, Any],
    seeds: Iterable[Any],
    experiment: Experiment,
) -> Iterator[RunSettings]:
    """Yield the runs of one setting; ``beta`` is derived where ``beta_eff`` is given."""
    own = experiment.conventions
    sizes = Sizes(
        d=values["d"],
        k=values["k"],
        batch_size=values["batch_size"],
        n_images=experiment.n_images.get(values["dataset"]),
    )
    loss = known(values["loss"], own)
    asked, asked_eff = values.pop("beta", 1.0), values.pop("beta_eff", None)
    function = loss.itself(sizes, asked) if isinstance(loss, OwnLoss) else None
    beta, a, b, beta_eff = (
        (asked, nan, nan, nan) if function else _weights(loss, sizes, asked, asked_eff)
    )
    values["eval_every"] = _eval_every(values)
    values["reconstruction_loss"] = _likelihood(values["reconstruction_loss"], loss.name, own)
    values |= _own(loss.name, values["k"], values["reconstruction_loss"], own)
    if not values["free_bits"]:
        values["free_bits_over"] = FIXED["free_bits_over"]
    has = likelihood(values["reconstruction_loss"]).own_settings
    values |= {name: FIXED[name] for name in OWN_SETTINGS if name not in has}
    built_by = experiment.networks.get(values["network"])
    layers = () if built_by else OWN_LAYERS[values["network"]]
    values |= {name: FIXED[name] for name in _LAYERS if name not in layers}
    if values["network"] == "keras-io-conv":
        values["hidden"] = KERAS_IO_HIDDEN
    if values["network"] != "dense":
        place = data_place(values["dataset"], values["d"])
        values["image"] = tuple(experiment.image_shapes.get(place, ()))
    if built_by:
        values["network_definition"] = built_by.identity
        values["built"] = built_by.at(values["image"], values["k"])
    values |= {name: canonical(x) for name, x in values.items() if isinstance(x, float)}
    values |= {"beta": beta, "a": a, "b": b, "beta_eff": beta_eff}
    values["definition"] = identity_of(loss) if loss.name in own else ""
    if function:
        values |= {"function": function, "definition": f"{values['definition']} itself"}
    return (RunSettings(**values, seed=seed) for seed in seeds)
