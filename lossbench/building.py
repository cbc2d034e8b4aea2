"""The networks of the user's own in an experiment, built for every shape and k of its grid.

They are built in a child process, which has so many seconds and an empty folder to write to;
nothing is trained.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lossbench import data
from lossbench.child_process import QUIET, child_process
from lossbench.errors import ExperimentError
from lossbench.experiment import Experiment, OwnNetwork, read_built, shape_of, with_built
from lossbench.network import Built
from lossbench.settings import RunSettings
from lossbench.words import counted

_MOST_SECONDS = 120.0
_LAST_LINES = 4
_NOT_SENT = ("file", "source", "pieces")
_Case = tuple[tuple[int, ...], int]  # shape and k


def built(
    experiment: Experiment,
    data_dir: Path | None = None,
    frozen: Experiment | None = None,
    said: Callable[[str], None] = lambda _: None,
) -> Experiment:
    """Return the experiment with what its own networks build; any other one as it is.

    What the ``frozen`` experiment of a results folder knows is not built again; ``said`` hears what
    takes long. ``ExperimentError`` says what is wrong with a network: it fails, takes too long,
    gives other shapes, or ends in a sigmoid where one follows.
    """
    own = experiment.own_networks()
    if not own:
        return experiment
    resolved = experiment.resolved(lambda name: data.native_sizes(name, data_dir))
    runs = [run for run in resolved.runs() if run.network in resolved.networks]
    seconds = min(_MOST_SECONDS, float(str(experiment.fixed["time_limit"])))
    shapes = {
        (name, d): shape_of(data.load(name, d, data_dir, "none").shape)
        for name, d in dict.fromkeys((run.dataset, run.d) for run in runs)
    }
    networks = {}
    for network in own:
        known = frozen.networks.get(network.name) if frozen else None
        if known and known.identity == network.identity:
            network = replace(network, built=known.built)  # noqa: PLW2901
        mine = {
            run: (shapes[run.dataset, run.d], run.k) for run in runs if run.network == network.name
        }
        cases = dict.fromkeys(mine.values())
        missing = [case for case in cases if network.at(*case) is None]
        where = experiment.places.get(("network", network.name), "")
        if missing:
            said(f"building {network.name} for {counted(len(missing), 'shape')}")
            network = with_built(network, *_looked_at(network, missing, seconds, where))  # noqa: PLW2901
        for run, case in mine.items():
            _check_end(run, network, case, where)
        networks[network.name] = network
    return replace(experiment, networks=dict(experiment.networks) | networks)


def _check_end(run: RunSettings, network: OwnNetwork, case: _Case, where: str) -> None:
    """Refuse a decoder that ends in a sigmoid where its logits go through another one."""
    made = network.at(*case)
    assert made is not None  # noqa: S101 - it has just been built
    if made.ends_in == "sigmoid" and replace(run, built=made).architecture.output == "sigmoid":
        raise ExperimentError(
            f"the decoder of {network.name} ends in a sigmoid, and {run.reconstruction_loss} here "
            "puts another behind it",
            where=where,
            expected="logits: no activation in the decoder's last layer",
            received="a sigmoid",
            remedy="leave it out"
            + (", or output = identity" if run.likelihood.output == "values" else ""),
        )


def _looked_at(
    network: OwnNetwork, cases: list[_Case], seconds: float, where: str
) -> Iterator[Built]:
    """Yield what a child process builds for each of these."""
    if not network.file.source:
        raise ExperimentError(
            f"{network.name} has to be built, and its file is not there",
            where=where,
            expected=f"{network.file.path}, of SHA-256 {network.sha256[:12]}",
        )
    asked = [
        Built(network.name, network.sha256, *case, n_parameters=0, n_activations=0)
        for case in cases
    ]
    with tempfile.TemporaryDirectory() as folder:
        found = _answers(network, asked, Path(folder), seconds, where)
    for each, answer in zip(asked, found, strict=True):
        if "problem" in answer:
            raise ExperimentError(
                str(answer["problem"]),
                where=" ".join(filter(None, (where, str(answer["where"])))),
                expected=str(answer["expected"]),
                received=str(answer["received"]),
                remedy=str(answer["remedy"]),
            )
        yield read_built(answer | {"shape": each.shape, "k": each.k})


def _answers(
    network: OwnNetwork, asked: list[Built], folder: Path, seconds: float, where: str
) -> list[dict[str, Any]]:
    """Return a child's answer for each; ``ExperimentError`` if it gives none in time."""
    question = {
        "path": str(network.file.path.absolute()),
        "source": network.file.source.decode("utf-8", "surrogateescape"),
        "asked": [{n: x for n, x in asdict(each).items() if n not in _NOT_SENT} for each in asked],
    }
    (folder / "question.json").write_text(json.dumps(question), "utf-8", "surrogateescape")
    log, look = folder / "log", "lossbench.worker:look"
    with (
        log.open("wb") as output,
        child_process(look, str(folder), output, os.environ | QUIET, folder) as process,
    ):
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise ExperimentError(
                f"{network.name} takes too long to build",
                where=where,
                expected=f"{counted(len(asked), 'network')} within {seconds:g} seconds",
                received="no end",
            ) from None
    with suppress(OSError, ValueError):
        answers = json.loads((folder / "answer.json").read_text("utf-8"))
        if isinstance(answers, list) and len(answers) == len(asked):
            return answers
    lines = log.read_text("utf-8", "replace").strip().splitlines()
    raise ExperimentError(
        f"{network.name} ends the process that builds it",
        where=where,
        expected="an encoder and a decoder",
        received=" ".join([f"exit code {process.returncode}", *lines[-_LAST_LINES:]]),
    )
