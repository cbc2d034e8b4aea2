"""One option a setting, as the table of settings has it."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from typer.models import OptionInfo

Command = Callable[..., None]


def asked_for(options: Mapping[str, OptionInfo]) -> Callable[[Command], Command]:
    """Return a decorator by which a command asks for ``options``, by the names of settings.

    In place of them the command itself takes ``overrides``: the texts of those that are given.
    """

    def decorated(command: Command) -> Command:
        @functools.wraps(command)
        def asking(**given: Any) -> None:
            texts = {name: given.pop(name) for name in options}
            overrides = {name: text for name, text in texts.items() if text is not None}
            command(overrides=overrides, **given)

        own = inspect.signature(command)
        asked = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[str | None, option],
            )
            for name, option in options.items()
        ]
        rest = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for name, parameter in own.parameters.items()
            if name != "overrides"
        ]
        vars(asking)["__signature__"] = own.replace(parameters=[*asked, *rest])
        return asking

    return decorated
