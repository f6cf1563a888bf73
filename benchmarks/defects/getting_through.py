"""Defects that no gate refuses yet. They count as missed; what is mended moves to its subject."""

from __future__ import annotations

import csv
import io
import re

from defects import Site, defect
from defects.further import BASELINES_SCRIPT, COHORTS, TRIALS_SCRIPT

#: name → file, old text, new text
_TEXTS = {
    "python.baselines-figures-rounded": (BASELINES_SCRIPT, '"pct_female": "numeric"', '"pct_female": "integer"'),
    "python.importer-modality-forgotten": (TRIALS_SCRIPT, '    "lsd": ("lysergic acid", "lsd-25"),\n', ""),
    "python.importer-modalities-exchanged": (TRIALS_SCRIPT, '("psilocybin", "psilocin")', '("ketamine",)'),
    "python.importer-condition-forgotten": (TRIALS_SCRIPT, '    "PTSD",\n', ""),
    "python.importer-status-forgotten": (TRIALS_SCRIPT, '("COMPLETED", "ACTIVE_NOT_RECRUITING")', '("COMPLETED",)'),
    "python.importer-title-from-the-id": (TRIALS_SCRIPT, '"title": "title"', '"title": "nct_id"'),
    "python.importer-dates-exchanged": (
        TRIALS_SCRIPT, '"start_date": "start_date",\n    "completion_date": "completion_date"',
        '"start_date": "completion_date",\n    "completion_date": "start_date"'),
}  # fmt: skip

#: name → column and value of the first row
_CELLS = {
    "country-of-another-study": ("country", "Iceland"),
    "name-with-a-space-behind": ("cohort_name", "MAPP1 Phase 3, MDMA arm (Mitchell 2021) "),
}


def _of_text(name: str, path: str, old: str, new: str) -> None:
    def change(site: Site) -> None:
        site.replace(path, old, new, 1)

    defect(name, gets_through=True)(change)


def _of_cell(name: str, column: str, value: str) -> None:
    def edit(text: str) -> str:
        rows = list(csv.reader(io.StringIO(text)))
        rows[1][rows[0].index(column)] = value
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(rows)
        return out.getvalue()

    def change(site: Site) -> None:
        site.edit(COHORTS, edit)

    defect(f"data.{name}", gets_through=True)(change)


for _name, _text in _TEXTS.items():
    _of_text(_name, *_text)
for _name, _cell in _CELLS.items():
    _of_cell(_name, *_cell)


@defect("tickets.frontmatter-not-closed", gets_through=True)
def not_closed(site: Site) -> None:
    """The whole ticket is frontmatter then."""
    site.replace(site.ticket("WO-231b"), "\n---\n", "\n", 1)


@defect("tickets.child-of-another-parent", gets_through=True)
def another_parent(site: Site) -> None:
    """A family that it does not belong to."""
    site.edit(site.ticket("WO-231a"), lambda t: re.sub(r"(?m)^parent: \S+$", "parent: WO-999", t))


@defect("tickets.child-in-two-folders", gets_through=True)
def in_two_folders(site: Site) -> None:
    """A copy lies where it was before."""
    path = site.ticket("WO-231a")
    site.write(path.replace("05_USER_REVIEW", "03_BUILD"), site.read(path))
