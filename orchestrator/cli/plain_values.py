"""Values of the command line that are what they are: typer imports pydantic to look at each."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any


def spare_coercion(params: list[Any]) -> list[Any]:
    """The parameters of a command, which then take plain values as they are.

    All others, and whatever is wrong, is typer's own affair. So is everything where a version of
    typer does not ask a parameter for what coerces its values.
    """
    for param in params:
        asks = hasattr(param, "get_runtime_param") and hasattr(param, "type_descriptor")
        if asks and "get_runtime_param" not in vars(param):
            param.get_runtime_param = partial(_PlainFirst, param.get_runtime_param)
    return params


class _PlainFirst:
    """What coerces the values of a parameter: nothing, where nothing has to be."""

    def __init__(self, typers_own: Callable[[], Any]) -> None:
        self._typers_own = typers_own

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value as its command takes it. Raises what typer raises."""
        many = param.multiple or param.nargs == -1
        if value is None:
            return () if many else None
        asked = param.type_descriptor
        if asked.parameter_info.parser is None and asked.file_annotation is None:
            kind = asked.annotation
            if many and kind == list[str] and isinstance(value, list | tuple):
                if all(type(each) is str for each in value):
                    return list(value)
            elif not many and (found := _plain(kind, value, param)) is not None:
                return found
        return self._typers_own().coerce(value, param=param, ctx=ctx)


def _plain(kind: Any, value: Any, param: Any) -> Any:
    """A value of that type, None for one that needs a closer look."""
    if kind is str and type(value) is str:
        return value
    info = param.type_descriptor.parameter_info
    if kind is int:
        if type(value) is int and value == param.default:
            return value
        plain = type(value) is str and value.isascii() and value.isdigit() and len(value) < 10
        if plain and not info.clamp and info.max is None and int(value) >= (info.min or 0):
            return int(value)
    if kind is Path and type(value) is str and value:
        usual = info.file_okay and info.dir_okay and not (info.exists or info.resolve_path)
        special = info.writable or info.allow_dash or info.path_type is not None
        if usual and not special and (not os.path.lexists(value) or os.access(value, os.R_OK)):
            return Path(value)
    return None
