"""Joining a checkout with a target that conflicts: the files are marked, for an agent to resolve.

The merge is a commit, marks and all, so that nobody in the checkout has to conclude one and a kill
leaves nothing half done. What is marked does not pass a stage, and does not land.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.git.command import GitError, split_names
from orchestrator.workspaces.checkout import Checkout
from orchestrator.workspaces.landing import commit_join, merge_trees, tip

_MARK = re.compile(rb"(?:<{7,}|>{7,}|\|{7,})(?: .*)?|={7,}")


def join_marked(checkout: Checkout) -> tuple[str, list[str]]:
    """A commit in which the checkout's branch and its target meet, and the paths that conflict.

    Nothing moves yet. Raises LandingError if the target is gone, GitError.
    """
    newest, head = tip(checkout), checkout.head
    tree, conflicts = merge_trees(newest, head, checkout.run)
    return commit_join(checkout, newest, head, tree), conflicts


def marks_of(checkout: Checkout, joined: Iterable[Mapping[str, Any]]) -> dict[str, list[int]]:
    """Files → the lines that still are marks of these joins, wherever the files are now.

    A line that either side of a join has as its own is none.
    """
    found: dict[str, list[int]] = {}
    for record in joined:
        if not (conflicts := record["conflicts"]):
            continue
        sides = (record["onto"], record["before"])
        names = {*conflicts, *_labelled(checkout, sides)}
        for name in sorted(names):
            file = checkout.top / name
            if file.is_symlink() or not file.is_file():
                continue
            own = {line for side in sides for line in _lines(_text(checkout, side, name))}
            lines = [
                number
                for number, line in enumerate(_lines(file.read_bytes()), 1)
                if _MARK.fullmatch(line) and line not in own
            ]
            if lines:
                found[name] = sorted({*found.get(name, ()), *lines})
    return found


def _lines(text: bytes) -> list[bytes]:
    return [line.rstrip(b"\r") for line in text.split(b"\n")]


def _text(checkout: Checkout, commit: str, name: str) -> bytes:
    try:
        return checkout.run("cat-file", "blob", f"{commit}:{name}")
    except GitError:
        return b""


def _labelled(checkout: Checkout, sides: Iterable[str]) -> list[str]:
    """Files with a mark that names a side: an agent may have renamed or copied them."""
    patterns = [w for side in sides for w in ("-e", f"<<<<<<< {side}", "-e", f">>>>>>> {side}")]
    try:
        return split_names(checkout.run("grep", "--untracked", "-I", "-F", "-l", "-z", *patterns))
    except GitError:
        # nothing found
        return []
