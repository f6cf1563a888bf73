"""Writes the constraints beside it: `python constraints/write.py`.

`lowest.txt`: the oldest version of each dependency that `pyproject.toml` allows, for `make lowest`.
`locked.txt`: what this environment has of what the product needs, for `make run`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).parent
PROJECT = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OWN = PROJECT["name"]
#: the extras that `make run` installs
RUN = ("web",)


def declared(extras: Iterable[str] = PROJECT["optional-dependencies"]) -> Iterator[Requirement]:
    """The project's requirements of other packages."""
    groups = [PROJECT["optional-dependencies"][extra] for extra in extras]
    for line in [*PROJECT["dependencies"], *(line for group in groups for line in group)]:
        if (requirement := Requirement(line)).name != OWN:
            yield requirement


def lowest() -> dict[str, str]:
    """Name → the lower bound, for those that have one."""
    found = {}
    for requirement in declared():
        for bound in requirement.specifier:
            if bound.operator == ">=":
                found[canonicalize_name(requirement.name)] = bound.version
    return dict(sorted(found.items()))


def locked() -> dict[str, str]:
    """Name → the version that is installed, of all that `make run` needs."""
    found: dict[str, str] = {}
    left = list(declared(RUN))
    while left:
        requirement = left.pop()
        name = canonicalize_name(requirement.name)
        try:
            package = distribution(name)
        except PackageNotFoundError:
            continue
        known, found[name] = name in found, package.version
        for text in package.requires or ():
            further = Requirement(text)
            asked = [{"extra": extra} for extra in ("", *requirement.extras)]
            wanted = further.marker is None or any(map(further.marker.evaluate, asked))
            is_new = canonicalize_name(further.name) not in found
            if wanted and is_new and (not known or requirement.extras):
                left.append(further)
    return dict(sorted(found.items()))


def read(name: str) -> dict[str, str]:
    """The pins of a file."""
    text = (HERE / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==(\S+)$", text, re.MULTILINE))


def main() -> None:
    for name, pins, about in (
        ("lowest.txt", lowest(), "the oldest versions that are allowed"),
        ("locked.txt", locked(), "what `make run` installs"),
    ):
        lines = "".join(f"{package}=={version}\n" for package, version in pins.items())
        text = f"# {about}; written by constraints/write.py\n{lines}"
        (HERE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
