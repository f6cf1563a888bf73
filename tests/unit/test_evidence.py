"""What vouches for a figure: facts that the work did not write, and places that others can read."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrate_agents.seed_data.source_kinds import SourceKind, same_source, source_kind
from orchestrator.settings.config import load_settings
from tests.seed_family import (
    CSV,
    SOURCES,
    context,
    deliver,
    edit,
    say,
)

VERIFIED = "all values verified against source papers"
Change = Callable[[dict[str, str]], object]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    deliver(tmp_path)
    return tmp_path


def row(at: int, change: Change) -> Callable[[str], str]:
    def edited(text: str) -> str:
        rows = list(csv.DictReader(io.StringIO(text)))
        change(rows[at])
        out = io.StringIO()
        writer = csv.DictWriter(out, [*rows[0]], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return out.getvalue()

    return edited


def entries(change: Callable[[list[dict[str, Any]]], object]) -> Callable[[str], str]:
    def edited(text: str) -> str:
        found = [json.loads(line) for line in text.splitlines()]
        change(found)
        return "".join(json.dumps(entry) + "\n" for entry in found)

    return edited


def beginning(root: Path, *kept: str) -> Callable[[str], bytes | None]:
    """The workspace when the family began: only the kept files were there, as they are now."""
    held = {path: (root / path).read_bytes() for path in kept}
    return held.get


FACTS = ("facts/lamp_trials.csv", "facts/lamp_trials.sources.jsonl")


def test_facts_that_stood_before_the_work_vouch_for_its_figures(root: Path) -> None:
    [result] = say(context(root, at_start=beginning(root, *FACTS)), VERIFIED)
    assert result.verdict == "proven", result.detail


def test_facts_that_the_work_wrote_vouch_for_nothing(root: Path) -> None:
    [result] = say(context(root, at_start=beginning(root)), VERIFIED)
    assert result.verdict == "unproven"
    assert "no facts that stood before this work hold its figures" in result.detail
    assert (
        "facts/lamp_trials.csv is this work's own, and counts once USER approved it"
        in result.detail
    )


def test_facts_that_the_work_changed_vouch_for_nothing(root: Path) -> None:
    before = beginning(root, *FACTS)
    edit(root, lambda t: t.replace("80.0", "50.0"), FACTS[0])
    edit(root, lambda t: t.replace("80.0", "50.0"), CSV)
    for path in (FACTS[1], SOURCES):
        edit(
            root, lambda t: t.replace('"80.0"', '"50.0"').replace("80.0 (5.1)", "50.0 (5.1)"), path
        )
    [result] = say(context(root, at_start=before), VERIFIED)
    assert result.verdict == "unproven", result.detail


def test_own_facts_count_once_a_question_that_showed_them_was_approved(root: Path) -> None:
    def shown(path: str) -> dict[str, Any]:
        sha256 = hashlib.sha256((root / path).read_bytes()).hexdigest()
        return {"path": path, "after": ["file", sha256]}

    sheet = {"files": [shown(path) for path in FACTS]}
    history = [{"type": "question", "digest": "d", "sheet": sheet}]
    ctx = context(root, at_start=beginning(root), history=history)
    assert say(ctx, VERIFIED)[0].verdict == "unproven"
    history.append({"type": "answer", "answer": "approved", "digest": "d"})
    assert say(ctx, VERIFIED)[0].verdict == "proven"
    edit(root, lambda t: t + "\n", FACTS[0])
    assert say(ctx, VERIFIED)[0].verdict == "unproven"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda r: r.update(site="harbour mouth"),
            "harbour mouth, but the verified facts hold north pier",
        ),
        (lambda r: r.update(site="south pier"), "the verified facts hold north pier"),
    ],
)
def test_a_right_figure_under_other_words_is_failed(root: Path, change: Change, said: str) -> None:
    edit(root, row(0, change))
    [result] = say(context(root), VERIFIED)
    assert result.verdict == "failed"
    assert said in result.detail


def test_a_cell_that_the_facts_leave_blank_stays_blank(root: Path) -> None:
    edit(root, row(1, lambda r: r.update(endpoint_mean="12.5")))

    def add(known: list[dict[str, Any]]) -> None:
        entry = next(
            e for e in known if e["column"] == "failure_rate_pct" and "Arc" in str(e["row"])
        )
        known.append(entry | {"column": "endpoint_mean", "value": "12.5", "printed": "12.5"})

    edit(root, entries(add), SOURCES)
    [result] = say(context(root), VERIFIED)
    assert result.verdict == "failed"
    assert "the verified facts have no figure here" in result.detail


def test_figures_under_another_name_are_those_of_the_verified_row(root: Path) -> None:
    for path in (CSV, SOURCES):
        edit(root, lambda t: t.replace("Fresnel first order", "Fresnel second order"), path)
    [result] = say(context(root), VERIFIED)
    assert result.verdict == "failed"
    assert "its figures are those of Fresnel first order (Brook 2019)" in result.detail


def test_a_verified_row_again_is_failed(root: Path) -> None:
    edit(root, lambda t: t + t.splitlines()[1].replace("north pier", "the north pier again") + "\n")
    [result] = say(context(root), VERIFIED)
    assert "its figures are those of line 2 again" in result.detail


def test_a_place_that_the_facts_do_not_name_is_no_source(root: Path) -> None:
    def elsewhere(known: list[dict[str, Any]]) -> None:
        entry = next(e for e in known if e["column"] == "endpoint_mean")
        entry["source"] = "doi:10.1234/other.1"

    edit(root, entries(elsewhere), SOURCES)
    [result] = say(context(root), VERIFIED)
    assert result.verdict == "failed"
    assert "is not where the verified facts have it from: doi:10.1234/lens.2019.3" in result.detail


@pytest.mark.parametrize("place", ["see paper", "the full text", "throughout", ""])
def test_a_place_that_is_everywhere_is_none(root: Path, place: str) -> None:
    def everywhere(known: list[dict[str, Any]]) -> None:
        next(e for e in known if e["column"] == "endpoint_mean")["locator"] = place

    edit(root, entries(everywhere), SOURCES)
    [result] = say(context(root), VERIFIED)
    assert (result.verdict, "has no place in its source" in result.detail) == ("failed", True)


def test_a_listed_publication_whose_facts_are_there_has_a_row(root: Path) -> None:
    edit(root, lambda t: "".join(x for x in t.splitlines(True) if "Brook" not in x))
    [result] = say(context(root), VERIFIED)
    assert result.verdict == "failed"
    assert "the specification lists Brook et al., 2019, Optics" in result.detail


def test_a_publication_that_the_specification_lists_and_no_row_has_is_told(root: Path) -> None:
    [result] = say(context(root), VERIFIED)
    assert result.verdict == "proven"
    assert "the specification also lists Nobody knows this one" in result.detail
    assert "Vane" not in result.detail


def test_kinds_of_sources_are_configured(root: Path) -> None:
    for path in FACTS:
        (root / path).unlink()
    place = "https://papers.harbour.org/1"
    edit(root, lambda t: t.replace(" doi:10.1234/lens.2019.3", ""))
    edit(root, lambda t: t.replace("doi:10.1234/lens.2019.3", place), SOURCES)
    [result] = say(context(root), VERIFIED)
    assert result.verdict == "unproven"
    assert f"{place!r} is not a kind of source that `facts.sources` allows" in result.detail
    settings = {"facts": {"folder": "facts", "sources": ["doi", "harbour.org"]}}
    assert say(context(root, settings=settings), VERIFIED)[0].verdict == "proven"


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("doi:10.1038/s41591-021-01336-3", "allowed"),
        ("https://doi.org/10.1038/s41591-021-01336-3", "allowed"),
        ("NCT03537014", "allowed"),
        ("https://clinicaltrials.gov/study/NCT03537014", "allowed"),
        ("https://www.nejm.org/doi/full/10.1056/NEJMoa2206443", "allowed"),
        ("https://papers.harbour.org/1", "other"),
        ("https://doi.org.papers.harbour.org/10.1038/x1", "other"),
        ("https://nature.com.harbour.org/articles/1", "other"),
        ("https://chatgpt.com/share/6712", "none"),
        ("https://www.google.com/search?q=x", "none"),
        ("https://pubmed.ncbi.nlm.nih.gov/?term=mdma", "none"),
        ("https://clinicaltrials.gov/search?cond=ptsd", "none"),
        ("https://docs.google.com/document/d/1", "none"),
        ("https://en.wikipedia.org/wiki/MDMA", "none"),
        ("https://192.168.0.1/paper", "none"),
        ("https://example.com/paper", "none"),
        ("NCT0353", "none"),
        ("personal communication", "none"),
    ],
)
def test_a_source_is_of_a_kind(source: str, kind: str) -> None:
    assert source_kind(source) is SourceKind(kind)


def test_the_same_place_is_written_in_several_ways() -> None:
    assert same_source("doi:10.1038/ABC", "https://doi.org/10.1038/abc")
    assert same_source("https://www.samhsa.gov/a/", "http://samhsa.gov/a")
    assert not same_source("https://papers.org/?x=10.1038/abc", "doi:10.1038/abc")


def test_the_folder_alone_may_stand_for_the_settings_of_facts(tmp_path: Path) -> None:
    (tmp_path / "orchestrate.toml").write_text('facts = "evidence"\n')
    assert load_settings(tmp_path).facts.folder == "evidence"
    (tmp_path / "orchestrate.toml").write_text('[facts]\nsources = ["doi"]\n')
    assert load_settings(tmp_path).facts.sources == ("doi",)
