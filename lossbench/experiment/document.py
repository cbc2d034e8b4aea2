"""One TOML document of an experiment: what its sections and keys say, and on which line."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lossbench.errors import ExperimentError, did_you_mean
from lossbench.experiment.definitions import SECTION, definitions, located
from lossbench.experiment.grid import Experiment, Grid
from lossbench.experiment.lines import Lines
from lossbench.experiment.own_loss import SECTION as OWN_LOSS
from lossbench.experiment.own_loss import frozen_losses
from lossbench.experiment.own_network import SECTION as OWN_NETWORK
from lossbench.experiment.own_network import OwnNetwork, frozen_networks
from lossbench.loss import Convention
from lossbench.settings import (
    AXES,
    FIXED,
    FORMAT_VERSION,
    KEYS,
    SECTIONS,
    Setting,
    Value,
    key_named,
    shown,
)

FROZEN = "frozen"
_MOST_SEEDS = 100_000
_NAME = re.compile(r"[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]{0,199}")


class Reader:
    """Reads one document and knows on which line each key stands."""

    def __init__(self, source: Path, text: str) -> None:
        self._source = source
        self._lines = Lines(text)
        self._own: dict[str, Convention] = {}
        self._networks: dict[str, OwnNetwork] = {}
        self._places: dict[tuple[str, Value], str] = {}

    def _where(self, name: str, section: str = "", number: int = 0) -> str:
        """Return the file and the line of a key, or of a section's header."""
        line = self._lines.of(name, section, number)
        return str(self._source) if line is None else f"{self._source}, line {line}"

    def experiment(self, document: dict[str, object]) -> Experiment:
        """Return the experiment that a document states; ``ExperimentError`` names the line."""
        self._own = definitions(document.pop(SECTION, {}), self._where)
        frozen = self._frozen(document.pop(FROZEN, None))
        if frozen:
            tables = document.pop(OWN_LOSS, {})
            self._own |= frozen_losses(tables, self._source, self._where(OWN_LOSS))
            tables = document.pop(OWN_NETWORK, {})
            self._networks = frozen_networks(tables, self._source, self._where(OWN_NETWORK))
        for section in document:
            if section not in SECTIONS:
                raise ExperimentError(
                    f"unknown section [{section}]",
                    where=self._where(section),
                    expected=", ".join(f"[{name}]" for name in (*SECTIONS, f"{SECTION}.NAME")),
                    received=f"[{section}]",
                    remedy=self._home(section) or did_you_mean(section, SECTIONS),
                )
        hashes = self._table(frozen.get("data_sha256", {}), "data_sha256")
        sizes = self._table(frozen.get("n_images", {}), "n_images")
        shapes = self._table(frozen.get("image_shapes", {}), "image_shapes")
        fixed = dict(FIXED)
        for section in SECTIONS[:-1]:
            for key, item in self._table(document.get(section, {}), section).items():
                fixed[key] = self._single(section, key, item)
                if frozen and fixed[key] == FIXED[key]:  # every key stands there, asked for or not
                    self._places.pop((key, fixed[key]))
        sweeps = document.get("sweep", {})
        grids = tuple(
            self._grid(self._table(sweep, "sweep"), number)
            for number, sweep in enumerate(sweeps if isinstance(sweeps, list) else [sweeps])
        )
        if not grids:
            raise ExperimentError("the grid is empty", where=self._where("sweep"))
        return Experiment(
            name=self._name(frozen.get("name", self._source.stem)),
            fixed=fixed,
            grids=grids,
            data_sha256={str(data): str(sha256) for data, sha256 in hashes.items()},
            n_images={data: size for data, size in sizes.items() if isinstance(size, int)},
            image_shapes={
                data: tuple(shape) for data, shape in shapes.items() if isinstance(shape, list)
            },
            conventions=self._own,
            networks=self._networks,
            places=self._places,
        )

    def _frozen(self, facts: object) -> dict[str, object]:
        """Return the facts of a results folder's own file; none in a file that people write."""
        if facts is None:
            return {}
        if not isinstance(facts, dict) or facts.get("format") != FORMAT_VERSION:
            raise ExperimentError(
                "the frozen experiment has a format that this version does not know",
                where=self._where(FROZEN),
                expected=f"format = {FORMAT_VERSION}",
                received=repr(facts.get("format") if isinstance(facts, dict) else facts),
                remedy="use the version of lossbench that wrote it",
            )
        return facts

    def _name(self, name: object) -> str:
        """Return the experiment's name: it names a folder under results/, never one elsewhere."""
        if isinstance(name, str) and _NAME.fullmatch(name):
            return name
        raise ExperimentError(
            "the experiment has a name that no folder can have",
            where=self._where("name", FROZEN),
            expected="a name without / and control characters, that does not start with a dot",
            received=shown(name),
            remedy="rename the file, or correct `name`",
        )

    def _home(self, name: str) -> str:
        return f"write `{name}` under [{KEYS[name].section}]" if name in KEYS else ""

    def _table(self, table: object, section: str) -> dict[str, object]:
        if isinstance(table, dict):
            return table
        raise ExperimentError(
            f"`{section}` is not a section",
            where=self._where(section),
            expected=f"a section [{section}] with keys in it",
            received=shown(table),
        )

    def _single(self, section: str, name: str, item: object) -> Value:
        where = self._where(name, section)
        key = key_named(name, where)
        if key.section != section:
            raise ExperimentError(
                f"`{name}` does not belong in [{section}]",
                where=where,
                expected=f"`{name}` under [{key.section}]",
                received=f"`{name}` under [{section}]",
            )
        if isinstance(item, list) and not (key.is_list and _is_flat(item)):
            raise ExperimentError(
                f"`{name}` is a list, but [{section}] holds one value a key",
                where=where,
                expected=key.expected,
                received=shown(item),
                remedy=f"to vary it, write `{name}` under [sweep]",
            )
        value = key.checked(item, where)
        self._places[name, value] = where
        return value

    def _grid(self, table: dict[str, object], number: int) -> Grid:
        """Return the ``number``-th grid of the file."""
        axes: dict[str, tuple[Value, ...]] = {}
        for name, item in table.items():
            where = self._where(name, "sweep", number)
            key = key_named(name, where)
            if name == "seeds" and not isinstance(item, list):
                axes[name] = seed_count(item, where, text=False)
                continue
            items = item if isinstance(item, list) else [item]
            if key.is_list and items and _is_flat(items):
                items = [items]  # one network, not a list of networks
            axes[name] = axis_values(key, items, where, text=False)
            if name == "loss":
                axes[name], self._own = located(axes[name], self._own, where, self._source)
            self._places |= {(name, value): where for value in axes[name]}
        if "beta" in axes and "beta_eff" in axes:
            raise ExperimentError(
                "`beta` and `beta_eff` in one grid contradict each other",
                where=self._where("beta_eff", "sweep", number),
                expected="one of the two",
                remedy="write a second [[sweep]] for the other",
            )
        return completed(axes)


def completed(axes: Mapping[str, tuple[Value, ...]]) -> Grid:
    """Return a grid with the default of every axis that it lacks, in the order of the tables."""
    defaults = {name: axis for name, axis in AXES.items() if axis and name not in axes}
    if "beta_eff" in axes:
        defaults.pop("beta", None)
    complete = dict(axes) | defaults
    return {name: complete[name] for name in (*AXES, *FIXED) if name in complete}


def _is_flat(items: list[object]) -> bool:
    return not any(isinstance(item, list) for item in items)


def axis_values(
    key: Setting, items: Sequence[object], where: str, *, text: bool
) -> tuple[Value, ...]:
    """Return the distinct values of one axis, in their order; an empty axis is an error."""
    values = tuple(
        dict.fromkeys(
            key.parsed(str(item), where) if text else key.checked(item, where) for item in items
        )
    )
    if not values:
        raise ExperimentError(
            f"`{key.name}` is an empty list, so the grid has no runs",
            where=where,
            expected=f"at least one value: {key.expected}",
            received="[]",
        )
    return values


def seed_count(count: object, where: str, *, text: bool) -> tuple[Value, ...]:
    """Return the seeds 0 to count - 1."""
    key = KEYS["seeds"]
    value = key.parsed(str(count), where) if text else key.checked(count, where)
    if not isinstance(value, int) or not 1 <= value <= _MOST_SEEDS:
        raise ExperimentError(
            "`seeds` is a count that gives no runs or far too many",
            where=where,
            expected=f"{key.expected} (at most {_MOST_SEEDS} seeds)",
            received=shown(count),
        )
    return tuple(range(value))
