"""Experiment files: TOML and overrides in, a checked experiment out, and back again."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import tomli_w

from lossbench.errors import ExperimentError, did_you_mean
from lossbench.experiment.definitions import SECTION, located, tables_of
from lossbench.experiment.document import FROZEN, Reader, axis_values, completed, seed_count
from lossbench.experiment.grid import Experiment
from lossbench.experiment.own_loss import SECTION as OWN_LOSS
from lossbench.experiment.own_loss import OwnLoss
from lossbench.experiment.own_network import SECTION as OWN_NETWORK
from lossbench.experiment.own_network import read_network
from lossbench.loss import Convention, is_own
from lossbench.settings import FIXED, FORMAT_VERSION, KEYS, Value, key_named

TEMPLATE = Path(__file__).with_name("template.toml")
TEMPLATE_NETS = Path(__file__).with_name("template_nets.txt")
_DEFAULT_EXPERIMENT = Path(__file__).with_name("default.toml")
_LARGEST_FILE = 1_000_000


def read(path: Path | None = None, overrides: Mapping[str, str] | None = None) -> Experiment:
    """Return the experiment in a TOML file (without one, the default) with its overrides.

    ``overrides`` maps keys to the text of their option, such as ``{"beta": "0.1,1"}``. The
    default's d are those of its own data: with another ``dataset``, d is that data's own.
    ``ExperimentError`` names file, line and key of what is wrong.
    """
    source = path or _DEFAULT_EXPERIMENT
    text = _text(source)
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        line = re.search(r"at line (\d+)", f"{error} at line {text.count(chr(10)) + 1}")
        raise ExperimentError(
            "the experiment file is not TOML",
            where=f"{source}, line {line[1] if line else 1}",
            received=str(error),
            remedy="see `lossbench init` for a file to start from",
        ) from None
    experiment = Reader(source, text).experiment(document)
    if path is None and overrides and "dataset" in overrides:
        grids = [{name: grid[name] for name in grid if name != "d"} for grid in experiment.grids]
        experiment = replace(experiment, grids=tuple(grids))
    return _with_networks(_overridden(experiment, overrides or {}), source)


def _with_networks(experiment: Experiment, beside: Path) -> Experiment:
    """Return the experiment with the networks of the user's own, by their names in tables.

    ``ExperimentError`` if a file is not there, or if two files of one name are not the same.
    """
    networks, places = dict(experiment.networks), dict(experiment.places)

    def named(text: Value) -> Value:
        if not is_own(str(text)) or text in networks:
            return text
        where = places.get(("network", text), "")
        found = read_network(str(text), where, beside)
        if networks.setdefault(found.name, found).identity != found.identity:
            raise ExperimentError(
                f"two files are called {found.file.path.name}",
                where=where,
                expected="networks that tables can tell apart",
                received=str(text),
                remedy="rename one of the files",
            )
        places["network", found.name] = where
        return found.name

    fixed = {**experiment.fixed, "network": named(experiment.fixed["network"])}
    grids = tuple(
        grid | {"network": tuple(map(named, grid["network"]))} if "network" in grid else grid
        for grid in experiment.grids
    )
    return replace(experiment, fixed=fixed, grids=grids, networks=networks, places=places)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST_FILE + 1)
        if len(raw) > _LARGEST_FILE:
            raise ExperimentError(
                "the experiment file is too large",
                where=str(path),
                expected=f"at most {_LARGEST_FILE} bytes",
            )
        return raw.decode("utf-8")
    except (OSError, ValueError) as error:
        folder = path.parent if path.suffix else Path("experiments")
        files = {file.stem: file for file in sorted(folder.glob("*.toml")) if file != path}
        meant = did_you_mean(path.stem, files, lambda stem: str(files[stem]))
        raise ExperimentError(
            "the experiment file cannot be read",
            where=str(path),
            expected="a TOML file in UTF-8",
            received=getattr(error, "strerror", None) or str(error),
            remedy=meant or "`lossbench init` writes one to start from",
        ) from None


def _overridden(experiment: Experiment, overrides: Mapping[str, str]) -> Experiment:
    """Return the experiment with options in place of its keys."""
    if not overrides:
        return experiment
    fixed = dict(experiment.fixed)
    grids = [dict(grid) for grid in experiment.grids]
    places, conventions = dict(experiment.places), dict(experiment.conventions)
    for name, text in overrides.items():
        option = f"--{name.replace('_', '-')}"
        key = key_named(name, option)
        items = [item for item in text.split(",") if item.strip()]
        if name == "seeds" and "," not in text:
            values = seed_count(text.strip(), option, text=True)
        else:
            values = axis_values(key, items, option, text=True)
        if name == "loss":
            values, conventions = located(values, _without_unused(conventions), option)
        places |= {(name, value): option for value in values}
        if name in FIXED and len(values) == 1:
            fixed[name] = values[0]
        for grid in grids:
            grid.pop({"beta": "beta_eff", "beta_eff": "beta"}.get(name, name), None)
            if name not in FIXED or len(values) > 1:
                grid[name] = values
    if "beta" in overrides and "beta_eff" in overrides:
        raise ExperimentError(
            "`--beta` and `--beta-eff` contradict each other", expected="one of the two"
        )
    return replace(
        experiment,
        fixed=fixed,
        grids=tuple(completed(grid) for grid in grids),
        data_sha256={},
        conventions=conventions,
        places=places,
    )


def _without_unused(conventions: Mapping[str, Convention]) -> dict[str, Convention]:
    """Return the conventions without losses of a file's grid, which an option takes the place of.

    Those of a frozen experiment stay: what was found of them is known.
    """
    return {
        name: loss
        for name, loss in conventions.items()
        if not isinstance(loss, OwnLoss) or loss.proofs or loss.ways
    }


def text_of(experiment: Experiment) -> str:
    """Return the experiment as TOML, complete, as it is frozen in a results folder."""
    document: dict[str, object] = {
        FROZEN: {
            "format": FORMAT_VERSION,
            "name": experiment.name,
            "data_sha256": dict(experiment.data_sha256),
            "n_images": dict(experiment.n_images),
            **_shapes(experiment),
        }
    }
    if tables := tables_of(experiment.conventions):
        document[SECTION] = tables
    if own := experiment.own_losses():
        document[OWN_LOSS] = {loss.name: loss.table() for loss in own}
    if networks := experiment.own_networks():
        document[OWN_NETWORK] = {network.name: network.table() for network in networks}
    for name in FIXED:
        section = document.setdefault(KEYS[name].section, {})
        assert isinstance(section, dict)  # noqa: S101 - only sections are set above
        section[name] = _plain(experiment.fixed[name])
    document["sweep"] = [
        {name: [_plain(value) for value in values] for name, values in grid.items()}
        for grid in experiment.grids
    ]
    return tomli_w.dumps(document)


def _shapes(experiment: Experiment) -> dict[str, object]:
    """Return the shapes of the images that networks see; nothing where none sees any."""
    shapes = {place: list(shape) for place, shape in experiment.image_shapes.items()}
    return {"image_shapes": shapes} if shapes else {}


def _plain(value: Value) -> object:
    return list(value) if isinstance(value, tuple) else value
