"""Dataclasses and regular expressions that are made when they are first used.

A command imports some hundred modules and uses a tenth of their classes and patterns: to make a
dataclass takes half a millisecond, and a pattern of some length takes as long. To type checkers,
and from its first use on, each is what the standard library makes of it.
"""

from __future__ import annotations

import dataclasses
import re
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass
    from re import compile as regex
else:

    def dataclass(cls=None, /, **options):
        """`dataclasses.dataclass`, done at the first instance or look at the fields."""
        if cls is None:
            return lambda given: dataclass(given, **options)
        if options.keys() - _DEFERRABLE:
            return dataclasses.dataclass(cls, **options)
        _Made(cls, options)
        return cls

    def regex(pattern, flags=0):
        """`re.compile`, done at the first use."""
        return _Regex(pattern, flags)


__all__ = ["dataclass", "regex"]

#: options that need no other class and add no further methods
_DEFERRABLE = frozenset({"frozen", "eq", "repr"})
_FACTS = ("__dataclass_fields__", "__dataclass_params__", "__match_args__")
_METHODS = ("__repr__", "__eq__", "__hash__", "__init__")
_MAKING = threading.RLock()


class _Made:
    """What a class is to get as a dataclass.

    The standard library makes it of a twin of the class; each part then takes the place of what
    stands for it, so that another thread finds one or the other.
    """

    def __init__(self, cls: type, options: dict[str, Any]) -> None:
        self.cls = cls
        self.options = options
        self.body = dict(vars(cls))
        self.done = False
        for name, value in self.body.items():
            if not isinstance(value, dataclasses.Field):
                continue
            if value.default is dataclasses.MISSING:
                delattr(cls, name)
            else:
                setattr(cls, name, value.default)
        for name in _METHODS:
            # a class with an `__eq__` of its own has this by itself
            if self.body.get(name) is None:
                setattr(cls, name, self._method(name))
        for name in _FACTS:
            setattr(cls, name, _Fact(self, name))
        if options.get("frozen"):
            for method in _guards(cls):
                setattr(cls, method.__name__, method)

    def make(self) -> None:
        """Make the class a dataclass, once."""
        with _MAKING:
            if self.done:
                return
            body = {k: v for k, v in self.body.items() if k not in ("__dict__", "__weakref__")}
            twin: Any = type(self.cls)(self.cls.__name__, self.cls.__bases__, body)
            twin = dataclasses.dataclass(**self.options)(twin)
            for name in (*_FACTS, *_METHODS):
                if name in vars(twin):
                    setattr(self.cls, name, vars(twin)[name])
                elif name in vars(self.cls):
                    delattr(self.cls, name)
            self.cls.__doc__ = twin.__doc__
            self.done = True

    def _method(self, name: str) -> Any:
        def stands_for(instance: Any, *args: Any, **named: Any) -> Any:
            self.make()
            return getattr(self.cls, name)(instance, *args, **named)

        stands_for.__name__ = name
        return stands_for


class _Fact:
    """An attribute of a dataclass, until it is made."""

    def __init__(self, made: _Made, name: str) -> None:
        self.made = made
        self.name = name

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        self.made.make()
        return getattr(self.made.cls, self.name)


def _guards(cls: Any) -> tuple[Any, Any]:
    """The methods of a frozen class that let no field change."""

    def require_free(instance: object, name: str, doing: str) -> None:
        if type(instance) is cls or name in cls.__dataclass_fields__:
            raise dataclasses.FrozenInstanceError(f"cannot {doing} field {name!r}")

    def __setattr__(self: Any, name: str, value: object) -> None:  # noqa: N807
        require_free(self, name, "assign to")
        super(cls, self).__setattr__(name, value)

    def __delattr__(self: Any, name: str) -> None:  # noqa: N807
        require_free(self, name, "delete")
        super(cls, self).__delattr__(name)

    return __setattr__, __delattr__


class _Regex:
    """Stands for a compiled pattern, whose attributes it takes one by one."""

    def __init__(self, pattern: Any, flags: int) -> None:
        self._given = pattern, flags
        self.pattern = pattern

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        found = getattr(re.compile(*self._given), name)
        setattr(self, name, found)
        return found
