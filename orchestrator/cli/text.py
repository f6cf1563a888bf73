"""Lines for a terminal: colors only where wanted, and no control characters from tickets."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
import textwrap
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from orchestrator.errors.masking import mask, mask_all, sanitize, visible, visible_json
from orchestrator.views.plain import columns, fitted

_SGR = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
#: the colors that `paint` writes
_COLORS = re.compile(rf"(\x1b\[(?:0|{'|'.join(_SGR.values())})m)")
_RESET = "\x1b[0m"
#: held while something is printed
OUTPUT = threading.RLock()
_before: list[Callable[[], None]] = []
#: verdict → mark and color
MARKS = {
    "proven": ("✓", "green"),
    "failed": ("✗", "red"),
    "unproven": ("?", "yellow"),
    "pending": ("·", "dim"),
    "not applicable": ("-", "dim"),
    "accepted": ("~", "yellow"),
}


def is_terminal() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def has_colors() -> bool:
    """Whether to use colors: on a terminal, with NO_COLOR (https://no-color.org) unset."""
    return is_terminal() and not os.environ.get("NO_COLOR")


def paint(text: str, style: str) -> str:
    """`text` in a style of `_SGR` if colors are on."""
    return f"\x1b[{_SGR[style]}m{text}{_RESET}" if style and has_colors() else text


def clean(text: str) -> str:
    """`text` without keys and without what could steer a terminal; a ticket's colors are closed."""
    if not has_colors():
        return sanitize(text)
    parts = _COLORS.split(mask(text))
    shown = "".join(part if n % 2 else visible(part) for n, part in enumerate(parts))
    closed = shown.rfind("\x1b") == shown.rfind(_RESET)
    return shown if closed else shown + _RESET


def say(text: str = "") -> None:
    """Print one line (or several) in one write: parallel agents report from threads."""
    _write(clean(text) + "\n")


def say_json(data: Any, *, indent: int | None = 2) -> None:
    """Print JSON; `indent=None` for one line."""
    text = _in_lines(data) if indent == 2 and isinstance(data, list) else _encode(data, indent)
    if mask(text) != text:
        text = json.dumps(mask_all(json.loads(text)), ensure_ascii=False, indent=indent)
    _write(visible_json(text) + "\n")


def _encode(data: Any, indent: int | None = None) -> str:
    return json.dumps(data, ensure_ascii=False, indent=indent, default=str)


#: for what holds nothing else: `json` itself indents at a quarter of the speed
_flat = json.JSONEncoder(ensure_ascii=False, separators=(",\n    ", ": "), default=str).encode


def _in_lines(items: list[Any]) -> str:
    """The same as `_encode(items, 2)`; a board has many."""
    if not items:
        return "[]"
    return "[\n" + ",\n".join(map(_item, items)) + "\n]"


def _item(item: Any) -> str:
    kinds = {str, int, bool, type(None)}
    if (
        isinstance(item, dict)
        and item
        and all(type(value) in kinds or value in ([], {}) for value in item.values())
    ):
        return f"  {{\n    {_flat(item)[1:-1]}\n  }}"
    return "  " + _encode(item, 2).replace("\n", "\n  ")


def _write(text: str) -> None:
    with OUTPUT:
        for act in _before:
            act()
        sys.stdout.write(text)
        sys.stdout.flush()


def before_output(act: Callable[[], None] | None) -> None:
    """Call this before anything is printed, with `OUTPUT` held; None: nothing any more."""
    _before[:] = [act] if act else []


def say_diff(lines: Iterable[str], indent: str = "") -> None:
    """Print a unified diff."""
    styles = {"+": "green", "-": "red", "@": "cyan"}
    for line in lines:
        say(indent + paint(line.rstrip("\r"), styles.get(line[:1], "")))


def mark(verdict: str) -> str:
    """The colored sign of a verdict."""
    sign, style = MARKS.get(verdict, ("?", "yellow"))
    return paint(sign, style)


def terminal_width(used: int) -> int:
    """The columns left on a line; 0 (no limit) if stdout is not a terminal."""
    return max(20, shutil.get_terminal_size().columns - used) if is_terminal() else 0


def say_wrapped(text: str, first: str = "", rest: str = "", style: str = "") -> None:
    """White space collapsed; on a terminal, lines end between words. `first` and `rest` begin them.

    `first` may have colors and is as wide as `rest`.
    """
    width = terminal_width(len(rest))
    flat = one_line(text)
    lines = textwrap.wrap(flat, width, break_on_hyphens=False) if width else [flat]
    for number, line in enumerate(lines or [""]):
        say((rest if number else first) + paint(line, style))


PROGRAM = "orchestrate"
_COMMAND = re.compile(rf"(?<![\w./-]){PROGRAM}(?= [a-zA-Z<-])")


@lru_cache(maxsize=8)
def _program(called: str, folder: str) -> str:
    """How the program is called from `folder`: its name if that is found, else its path."""
    if Path(called).name != PROGRAM:
        return PROGRAM
    if not Path(called).is_absolute():
        return shlex.quote(called) if "/" in called else PROGRAM
    found = shutil.which(PROGRAM)
    if found is not None and Path(found).resolve() == Path(called).resolve():
        return PROGRAM
    path = Path(called)
    return shlex.quote(str(path.relative_to(folder) if path.is_relative_to(folder) else path))


def callable_commands(text: str) -> str:
    """`text` with the commands in it as they work where the user stands.

    After `.venv/bin/orchestrate run …` the name alone is often not found.
    """
    return _COMMAND.sub(lambda _: _program(sys.argv[0], str(Path.cwd())), text)


def first_line(text: str) -> str:
    """The first line, with a sign if more follow (such as a check to write)."""
    head, _, more = text.strip().partition("\n")
    return f"{head.rstrip(' :')} …" if more else head


def one_line(text: str, width: int = 0) -> str:
    """White space collapsed, cut at `width` (0: not cut)."""
    flat = " ".join(text.split())
    return flat if not width or len(flat) <= width else flat[: width - 1].rstrip() + "…"


def counted(number: int, thing: str, plural: str = "") -> str:
    """`1 ticket`, `2 tickets`."""
    return f"{number} {thing}" if number == 1 else f"{number} {plural or f'{thing}s'}"


def some_of(names: Sequence[str], most: int = 8) -> str:
    """`a, b and 3 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def table(rows: Iterable[Sequence[str]], width: int = 0) -> list[str]:
    """Rows as aligned columns, cut at `width` (0: not cut); the last column is not padded."""
    filled = map(padded, zip(*rows, strict=True))
    return [fitted("  ".join(row).rstrip(), width) for row in zip(*filled, strict=True)]


def padded(cells: Sequence[str]) -> list[str]:
    """The cells of one column in lines, as wide as the widest."""
    several = set(cells)
    if 2 * len(several) > len(cells):
        return _filled([one_line(cell) for cell in cells])
    # most columns say the same few words again and again
    filled = dict(zip(several, _filled([one_line(cell) for cell in several]), strict=True))
    return [filled[cell] for cell in cells]


def _filled(texts: Sequence[str]) -> list[str]:
    wide = max(map(columns, texts))
    return [t.ljust(wide) if t.isascii() else t + " " * (wide - columns(t)) for t in texts]
