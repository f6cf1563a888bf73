"""What the effects will load is known before they run, or nothing is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrate_agents.effect_runner import EffectKind, TargetRunner
from orchestrate_agents.review import forecast
from orchestrate_agents.review.data import PlannedRows
from orchestrate_agents.review.forecast import LoadedTarget, foresee_target
from orchestrator.approvals.effects import Effect
from tests.claims import judge, lay

SEED = 'SEED = CsvSeed(table="cups", csv="data/cups.csv", columns={"a": "text"})\n'
ROWS = "a\n" + "".join(f"{n}\n" for n in range(7))
SQL = "CREATE TABLE cups (a text);"
WORKFLOW = f"""# W
## STAGE 1: SOOP — Tables
Write `m/1.sql` with:

```sql
{SQL}
```

**Done when:** `m/1.sql` exists
"""


def script(path: str = "load.py", **arguments: object) -> Effect:
    return Effect(EffectKind.SCRIPT, f"run `{path}`", (path,), {"options": [], **arguments})


def foresee(
    root: Path, *effects: Effect, target: str = "embedded"
) -> tuple[LoadedTarget, LoadedTarget] | None:
    return foresee_target(TargetRunner(target, root, {}), effects)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return lay(tmp_path, {"load.py": SEED, "data/cups.csv": ROWS, "other.py": "print()\n"})


def test_a_csv_loader_loads_at_most_the_rows_of_its_file(root: Path) -> None:
    apply = Effect(EffectKind.APPLY, "apply", ("m/1.sql",))
    again = script(tables=["public.cups"])
    most, plenty = foresee(root, apply, script(), again) or ()
    assert most.count("cups") == 7 < plenty.count("cups")
    with pytest.raises(LookupError):
        most.count("plates")
    twice = foresee(root, script(), script())
    assert twice is not None
    assert twice[0].count("cups") == 14


@pytest.mark.parametrize(
    ("effects", "target"),
    [
        ((script("other.py"),), "embedded"),
        ((script(), script("other.py")), "embedded"),
        ((script(options=["--small"]),), "embedded"),
        ((script("missing.py"),), "embedded"),
        ((script(),), "postgres"),
        ((script(),), "supabase"),
    ],
)
def test_nothing_is_said_where_a_script_or_a_target_is_not_known(
    root: Path, effects: tuple[Effect, ...], target: str
) -> None:
    assert foresee(root, *effects, target=target) is None


@pytest.mark.parametrize(
    ("wanted", "lacking"),
    [("at least 8", True), ("at least 7", False), ("5", False)],
)
def test_only_a_lack_of_rows_is_certain(root: Path, wanted: str, lacking: bool) -> None:
    found = [
        judge(root, f"cups holds {wanted} rows", workflow=WORKFLOW, target=target).verdict
        for target in foresee(root, script()) or ()
    ]
    assert (found == ["failed", "proven"]) is lacking


def test_a_snapshot_is_counted_only_where_it_is_what_the_script_loads(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = PlannedRows("cups", ({"a": 1}, {"a": 2}), "the snapshot")
    monkeypatch.setattr(forecast, "planned_rows", lambda *_: rows)
    assert foresee(root, script()) is None
    monkeypatch.setattr(TargetRunner, "substitute", lambda *_: "the snapshot")
    found = foresee(root, script())
    assert found is not None
    assert found[0].count("cups") == 2
