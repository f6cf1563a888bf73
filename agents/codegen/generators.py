"""Plug-ins that write programs of a kind that BUILDER itself does not know.

They are found by the entry points `orchestrate.generators`: a class without arguments.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from orchestrate_agents.specification.files import FileSpec
from orchestrate_agents.specification.stage import StageSpec
from orchestrator import plugins


@dataclass(frozen=True)
class Generated:
    """A file's text, and what it was made from, for the report."""

    path: str
    text: str
    origin: str


class Generator(Protocol):
    """Writes one kind of program from its specification."""

    def matches(self, spec: FileSpec, stage: StageSpec) -> bool:
        """Whether a file of this kind is specified."""

    def generate(self, spec: FileSpec, stage: StageSpec) -> Generated:
        """The program. Raises SpecificationError where its specification does not suffice."""

    def companions(self, spec: FileSpec, stage: StageSpec) -> Iterable[Generated]:
        """Further files that a newly written program needs."""


def generator_for(spec: FileSpec, stage: StageSpec) -> Generator | None:
    """The first plug-in that writes such a file."""
    for entry in plugins.registered("generators"):
        generator: Generator = entry.load()()
        if generator.matches(spec, stage):
            return generator
    return None
