"""Experiment files: TOML and overrides in, a checked experiment out, and back again."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import tomli_w

from lossbench.errors import ExperimentError, nearest
from lossbench.experiment.grid import Experiment, Grid
from lossbench.experiment.keys import (
    AXES,
    DEFAULT_AXES,
    FIXED,
    KEYS,
    SECTIONS,
    Value,
    axis_values,
    key_named,
    seed_count,
)
from lossbench.schema import FORMAT_VERSION

TEMPLATE = Path(__file__).with_name("template.toml")
_DEFAULT_EXPERIMENT = Path(__file__).with_name("default.toml")
_FROZEN = "frozen"
_LARGEST_FILE = 1_000_000


def read(path: Path | None = None, overrides: Mapping[str, str] | None = None) -> Experiment:
    """Return the experiment in a TOML file (without one, the default) with its overrides.

    ``overrides`` maps keys to the text of their option, such as ``{"beta": "0.1,1"}``.
    ``ExperimentError`` names file, line and key of what is wrong.
    """
    source = path or _DEFAULT_EXPERIMENT
    text = _text(source)
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        line = re.search(r"at line (\d+)", str(error))
        raise ExperimentError(
            "the experiment file is not TOML",
            where=f"{source}, line {line[1]}" if line else str(source),
            received=str(error),
            remedy="see `lossbench init` for a file to start from",
        ) from None
    experiment = _Reader(source, text).experiment(document)
    return _overridden(experiment, overrides or {})


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
        files = sorted(str(file) for file in folder.glob("*.toml"))
        raise ExperimentError(
            "the experiment file cannot be read",
            where=str(path),
            expected="a TOML file in UTF-8",
            received=getattr(error, "strerror", None) or str(error),
            remedy=nearest(str(path), files) or "`lossbench init` writes one to start from",
        ) from None


class _Reader:
    """Reads one document and knows on which line each key stands."""

    def __init__(self, source: Path, text: str) -> None:
        self._source = source
        self._lines = text.splitlines()

    def _where(self, name: str, section: str = "") -> str:
        """Return the file and the line of a key, or of a section's header."""
        current = ""
        for number, line in enumerate(self._lines, start=1):
            if header := re.match(r"\s*\[+\s*([^\]]*?)\s*\]", line):
                current = header[1].strip("\"'")
                if current == name:
                    return f"{self._source}, line {number}"
            found = re.match(r"""\s*["']?([^"'=\s]+)["']?\s*=""", line)
            if found and found[1].split(".")[-1] == name and current in (section, ""):
                return f"{self._source}, line {number}"
        return str(self._source)

    def experiment(self, document: dict[str, object]) -> Experiment:
        frozen = self._frozen(document.pop(_FROZEN, None))
        for section in document:
            if section not in SECTIONS:
                raise ExperimentError(
                    f"unknown section [{section}]",
                    where=self._where(section),
                    expected=", ".join(f"[{name}]" for name in SECTIONS),
                    received=f"[{section}]",
                    remedy=self._home(section) or nearest(section, SECTIONS),
                )
        hashes = self._table(frozen.get("data_sha256", {}), "data_sha256")
        sizes = self._table(frozen.get("n_images", {}), "n_images")
        fixed = {name: KEYS[name].default for name in FIXED}
        for section in SECTIONS[:-1]:
            for key, item in self._table(document.get(section, {}), section).items():
                fixed[key] = self._single(section, key, item)
        sweeps = document.get("sweep", {})
        grids = tuple(
            self._grid(self._table(sweep, "sweep"))
            for sweep in (sweeps if isinstance(sweeps, list) else [sweeps])
        )
        if not grids:
            raise ExperimentError("the grid is empty", where=self._where("sweep"))
        return Experiment(
            name=str(frozen.get("name", self._source.stem)),
            fixed={key: value for key, value in fixed.items() if value is not None},
            grids=grids,
            data_sha256={str(data): str(sha256) for data, sha256 in hashes.items()},
            n_images={data: size for data, size in sizes.items() if isinstance(size, int)},
        )

    def _frozen(self, facts: object) -> dict[str, object]:
        """Return the facts of a results folder's own file; none in a file that people write."""
        if facts is None:
            return {}
        if not isinstance(facts, dict) or facts.get("format") != FORMAT_VERSION:
            raise ExperimentError(
                "the frozen experiment has a format that this version does not know",
                where=self._where(_FROZEN),
                expected=f"format = {FORMAT_VERSION}",
                received=repr(facts.get("format") if isinstance(facts, dict) else facts),
                remedy="use the version of lossbench that wrote it",
            )
        return facts

    def _home(self, name: str) -> str:
        return f"write `{name}` under [{KEYS[name].section}]" if name in KEYS else ""

    def _table(self, table: object, section: str) -> dict[str, object]:
        if isinstance(table, dict):
            return table
        raise ExperimentError(
            f"`{section}` is not a section",
            where=self._where(section),
            expected=f"a section [{section}] with keys in it",
            received=repr(table),
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
        if isinstance(item, list) and (name != "hidden" or any(isinstance(x, list) for x in item)):
            raise ExperimentError(
                f"`{name}` is a list, but [{section}] holds one value a key",
                where=where,
                expected=key.expected,
                received=repr(item),
                remedy=f"to vary it, write `{name}` under [sweep]",
            )
        return key.checked(item, where)

    def _grid(self, table: dict[str, object]) -> Grid:
        axes: dict[str, tuple[Value, ...]] = {}
        for name, item in table.items():
            where = self._where(name, "sweep")
            key = key_named(name, where)
            if name == "seeds" and not isinstance(item, list):
                axes[name] = seed_count(item, where)
                continue
            items = item if isinstance(item, list) else [item]
            if name == "hidden" and items and not any(isinstance(x, list) for x in items):
                items = [items]  # one network, not a list of networks
            axes[name] = axis_values(key, items, where, text=False)
        if "beta" in axes and "beta_eff" in axes:
            raise ExperimentError(
                "`beta` and `beta_eff` in one grid contradict each other",
                where=self._where("beta_eff", "sweep"),
                expected="one of the two",
                remedy="write a second [[sweep]] for the other",
            )
        return _completed(axes)


def _completed(axes: dict[str, tuple[Value, ...]]) -> Grid:
    defaults = {name: value for name, value in DEFAULT_AXES.items() if name not in axes}
    if "beta_eff" in axes:
        defaults.pop("beta", None)
    complete = axes | defaults
    return {name: complete[name] for name in (*AXES, *FIXED) if name in complete}


def _overridden(experiment: Experiment, overrides: Mapping[str, str]) -> Experiment:
    """Return the experiment with options in place of its keys."""
    fixed = dict(experiment.fixed)
    grids = [dict(grid) for grid in experiment.grids]
    for name, text in overrides.items():
        option = f"--{name.replace('_', '-')}"
        key = key_named(name, option)
        items = [item for item in text.split(",") if item.strip()]
        if name == "seeds" and "," not in text:
            values = seed_count(text.strip(), option)
        else:
            values = axis_values(key, items, option, text=True)
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
        experiment, fixed=fixed, grids=tuple(_completed(grid) for grid in grids), data_sha256={}
    )


def text_of(experiment: Experiment) -> str:
    """Return the experiment as TOML, complete, as it is frozen in a results folder."""
    document: dict[str, object] = {
        _FROZEN: {
            "format": FORMAT_VERSION,
            "name": experiment.name,
            "data_sha256": dict(experiment.data_sha256),
            "n_images": dict(experiment.n_images),
        }
    }
    for name in FIXED:
        section = document.setdefault(KEYS[name].section, {})
        assert isinstance(section, dict)  # noqa: S101 - only sections are set above
        section[name] = _plain(experiment.fixed[name])
    document["sweep"] = [
        {name: [_plain(value) for value in values] for name, values in grid.items()}
        for grid in experiment.grids
    ]
    return tomli_w.dumps(document)


def _plain(value: Value) -> object:
    return list(value) if isinstance(value, tuple) else value
