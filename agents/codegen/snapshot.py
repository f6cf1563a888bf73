"""The shipped registry snapshot, for a rendered importer of substances that are in it."""

from __future__ import annotations

from collections.abc import Mapping

#: where the importer looks for it, below the project
SNAPSHOT_PATH = "backend/data/ctgov_snapshot.jsonl"


def snapshot_for(modalities: Mapping[str, tuple[str, ...]]) -> str:
    """The snapshot's text, "" if no record of it would be loaded."""
    from importlib.resources import as_file, files

    from orchestrate_backend.trials.sources import load_trials
    from orchestrate_backend.trials.terms import with_known_phrases
    from orchestrate_backend.trials.trials import Selector, TrialSpec

    shipped = files("orchestrate_backend") / "data" / "ctgov_snapshot.jsonl"
    wanted = TrialSpec(modalities=with_known_phrases(dict(modalities)))
    selector = Selector(wanted, all_conditions=True, keep_unknown_status=True)
    with as_file(shipped) as file:
        if not file.is_file() or not selector.select(load_trials([file]).records).rows:
            return ""
        return file.read_text(encoding="utf-8")
