"""Results that are kept are found under the same key only, and nothing breaks without them."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrate_agents.sandbox import import_closure
from orchestrate_agents.sandbox.runs import tree_digest
from orchestrator.family import workflow_discovery
from orchestrator.gates import checks, proof_cache
from orchestrator.gates.checks import Services
from orchestrator.gates.proof_cache import ProofCache
from orchestrator.storage.atomic import sha256_file
from orchestrator.workflow_reader import parser


@dataclass(frozen=True)
class Found:
    rows: tuple[int, ...]
    by_name: dict[str, int]


def remembered(cache: ProofCache | None, key: str, made: list[str]) -> Found:
    """What a fresh session finds or makes; `made` notes each making."""

    def make() -> Found:
        made.append(key)
        return Found((1, 2), {"a": len(made)})

    with Services(cache) as services:
        first = services.remember(("x", key), Found, make)
        assert services.remember(("x", key), Found, make) is first
        return first


def test_the_same_key_is_made_once(tmp_path: Path) -> None:
    cache, made = ProofCache(tmp_path), []
    first = remembered(cache, "k", made)
    assert remembered(cache, "k", made) == first == Found((1, 2), {"a": 1})
    assert made == ["k"]
    assert cache.found == 1


def test_another_key_is_another_result(tmp_path: Path) -> None:
    made: list[str] = []
    assert remembered(ProofCache(tmp_path), "k", made) != remembered(
        ProofCache(tmp_path), "l", made
    )


def test_without_a_cache_each_session_makes_its_own() -> None:
    made: list[str] = []
    remembered(None, "k", made)
    remembered(None, "k", made)
    assert made == ["k", "k"]


def test_another_product_finds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    remembered(ProofCache(tmp_path), "k", made)
    monkeypatch.setattr(proof_cache, "product_digest", lambda: "another version")
    remembered(ProofCache(tmp_path), "k", made)
    assert made == ["k", "k"]


@pytest.mark.parametrize("damage", [b"", b"{", b'{"rows": "x"}', b"\xff"])
def test_what_cannot_be_read_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    made: list[str] = []
    remembered(ProofCache(tmp_path), "k", made)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage)
    assert remembered(ProofCache(tmp_path), "k", made).by_name == {"a": 2}


def test_what_another_wrote_is_not_found(tmp_path: Path) -> None:
    made: list[str] = []
    first = remembered(ProofCache(tmp_path), "k", made)
    (file,) = tmp_path.iterdir()
    kept = file.read_bytes()
    file.write_bytes(kept.replace(b"[1,2]", b"[1,3]"))
    assert remembered(ProofCache(tmp_path), "k", made).rows == first.rows
    # nor does the result of one key stand under another
    remembered(ProofCache(tmp_path), "l", made)
    other = next(f for f in tmp_path.iterdir() if f != file)
    other.write_bytes(kept)
    assert ProofCache(tmp_path).get(repr(("x", "l"))) is None


def test_without_a_signing_key_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATE_SIGNING_KEY", str(tmp_path / "conftest.py" / "none"))
    (tmp_path / "conftest.py").touch()
    cache, made = ProofCache(tmp_path / "cache"), []
    remembered(cache, "k", made)
    remembered(cache, "k", made)
    assert made == ["k", "k"]


def test_a_folder_that_cannot_be_written_costs_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = ProofCache(tmp_path / "file" / "below")
    cache.put("k", b"x")
    assert cache.get("k") is None


def test_old_results_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof_cache, "_MOST_FILES", 8)
    monkeypatch.setattr(proof_cache, "_LOOK_AT_EACH", 3)
    cache = ProofCache(tmp_path)
    for number in range(20):
        cache.put(str(number), b"x")
    assert len(list(tmp_path.iterdir())) <= 8 + 2
    assert cache.get("19") == b"x"


def test_a_tree_is_known_by_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b.txt").write_text("one", encoding="utf-8")

    def digest(*suffixes: str) -> str:
        return tree_digest(Services(), tmp_path, suffixes or ("",))

    first = digest()
    assert digest() == first
    (tmp_path / "_WORK_ORDERS").mkdir()
    (tmp_path / "_WORK_ORDERS/t.md").touch()
    assert digest() == first, "tickets are not part of what scripts see"
    (tmp_path / "a/b.txt").write_text("two", encoding="utf-8")
    second = digest()
    assert second != first
    (tmp_path / "a/b.txt").rename(tmp_path / "a/c.txt")
    assert digest() not in (first, second)
    assert digest(".py") == tree_digest(Services(), tmp_path / "a", (".py",))


def test_a_later_command_reads_only_texts_that_are_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATE_SCRATCH", str(tmp_path / "cache"))
    workflow, script = tmp_path / "w.md", tmp_path / "a.py"
    workflow.write_text("# W\n\n## Stage 1: BUILDER\n\n- [ ] `a.py` exists\n", encoding="utf-8")
    script.write_text("import b\nopen('c.csv')\n", encoding="utf-8")
    for name in ("b.py", "c.csv", "d.py"):
        (tmp_path / name).touch()

    def look() -> tuple[object, tuple[str, ...]]:
        workflow_discovery._read_kept.cache_clear()
        import_closure._references.cache_clear()
        given = (workflow.read_bytes(), workflow, workflow, tmp_path, tmp_path, ())
        return workflow_discovery._read_kept(*given), import_closure.closure(tmp_path, "a.py")

    first = look()
    assert first[1] == ("b.py", "c.csv")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it was read again")

    with monkeypatch.context() as patch:
        patch.setattr(parser, "read_workflow_bytes", refuse)
        patch.setattr(import_closure, "nodes_of", refuse)
        assert look() == first
    workflow.write_text(workflow.read_text("utf-8").replace("a.py", "d.py"), encoding="utf-8")
    script.write_text("import d\n", encoding="utf-8")
    later = look()
    assert later[1] == ("d.py",)
    assert later[0] != first[0]


def test_a_workflow_that_says_the_same_of_any_ticket_is_read_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATE_SCRATCH", str(tmp_path / "cache"))
    workflow = tmp_path / "w.md"
    read: list[object] = []
    real = parser.read_workflow_bytes
    monkeypatch.setattr(
        parser, "read_workflow_bytes", lambda *a, **k: read.append(k["variables"]) or real(*a, **k)
    )

    def look(id: str, owner: str) -> object:
        workflow_discovery._read_kept.cache_clear()
        workflow_discovery._TEXTS.clear()
        given = (("id", id), ("owner", owner))
        place = (workflow.read_bytes(), workflow, workflow, tmp_path, tmp_path)
        return workflow_discovery._read_kept(*place, given)

    workflow.write_text("# W\n\n## Stage 1: BUILDER\n\n- [ ] `a.py` exists\n", encoding="utf-8")
    assert look("WO-1", "EVE") == look("WO-2", "EVE")
    assert len(read) == 1
    look("WO-2", "BOB")
    assert len(read) == 2
    # what names its ticket is read for each
    text = "---\ntemplate: true\n---\n# W\n\n## Stage 1: BUILDER\n\n- [ ] `{{ id }}.py` exists\n"
    workflow.write_text(text, encoding="utf-8")
    assert look("WO-1", "EVE") != look("WO-2", "EVE")
    assert look("WO-1", "EVE") == look("WO-1", "EVE")
    assert len(read) == 4


@pytest.mark.parametrize(
    "named",
    [
        "posix\nmkdir\n",
        # what a module of such a type imports is not such a type
        f"{Path.__module__}\nos.mkdir\n",
        f"operator\nattrgetter\n(Vmkdir\ntR(c{Path.__module__}\nos\ntR",
    ],
)
def test_what_is_kept_of_a_workflow_runs_no_code(tmp_path: Path, named: str) -> None:
    harm = tmp_path / "harm"
    forged = f"\x80\x04c{named}(V{harm}\ntR.".encode("latin-1")
    with pytest.raises(pickle.UnpicklingError, match="not part of a workflow"):
        workflow_discovery._Values(io.BytesIO(forged)).load()
    assert not harm.exists()
    pickle.loads(forged)
    assert harm.exists(), "it would have run"


def test_a_file_is_read_once_for_each_state_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.txt"
    file.write_text("a", encoding="utf-8")
    read: list[str] = []

    def digest(path: Path) -> str:
        read.append(path.name)
        return sha256_file(path)

    monkeypatch.setattr(checks, "sha256_file", digest)
    services = Services()
    # what was written just now may be written again in the same tick of the clock
    assert services.sha256(file) == services.sha256(file) == sha256_file(file)
    assert len(read) == 2
    monkeypatch.setattr(checks, "_TICK", -1)
    assert services.sha256(file) == services.sha256(str(file)) == sha256_file(file)
    assert len(read) == 3
    file.write_text("b", encoding="utf-8")
    assert services.sha256(file) == sha256_file(file)
    assert len(read) == 4
    with pytest.raises(FileNotFoundError):
        services.sha256(tmp_path / "b.txt")
