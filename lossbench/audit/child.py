"""What runs in the child process: loads the user's file, then answers one probe a line.

The lines go over what were stdin and stdout; the user's own prints go to stderr.
"""

import dataclasses
import json
import os
import sys
from typing import Any

from lossbench.audit.answer import Answer, Ask, Failure, Found
from lossbench.audit.callee import failure_of
from lossbench.audit.loading import Refusal, load
from lossbench.audit.probe import Probe


def main() -> None:
    """Answer until nobody asks any more."""
    sys.dont_write_bytecode = True  # an audit changes nothing, not even a cache
    questions = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    ask: Ask | None = None
    for line in questions:
        question = json.loads(line)
        if ask is None:
            ask, reply = _loaded(question)
        elif "probe" in question:
            reply = _plain(_answered(ask, question["probe"]))
        else:
            reply = _plain(ask.found())  # type: ignore[attr-defined]
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


def _loaded(question: dict[str, Any]) -> tuple[Ask | None, Any]:
    try:
        ask = load(question["file"], question["name"], question["args"], question["settings"])
    except Refusal as refusal:
        return None, _plain(refusal.failure)
    except (Exception, SystemExit) as error:
        return None, _plain(failure_of(error, "load", question["file"]))
    return ask, None


def _answered(ask: Ask, facts: dict[str, Any]) -> Answer:
    try:
        return ask(probe_of(facts))
    except SystemExit as error:
        return Answer(failure=failure_of(error, "call"))


def probe_of(facts: dict[str, Any]) -> Probe:
    """Return a probe that came over the line."""
    pairs = ("shape", "patch", "latent_patch")
    tuples = {name: tuple(facts[name]) for name in pairs if facts[name] is not None}
    settings = tuple((name, value) for name, value in facts["settings"])
    return Probe(**{**facts, **tuples, "settings": settings})


def _plain(record: Answer | Failure | Found) -> dict[str, Any]:
    return dataclasses.asdict(record)
