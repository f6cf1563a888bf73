"""Of lines as other teams write them, a sample is judged; `make recall` judges them all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.nodes import node_modules

ROOT = Path(__file__).parents[2]


def outsiders(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "benchmarks/outsiders.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "ORCHESTRATE_NODE_MODULES": str(node_modules() or "")},
        capture_output=True,
        text=True,
        timeout=175,
        check=False,
    )


def test_a_sample_of_other_teams_lines_is_judged_rightly() -> None:
    done = outsiders("files", "labels", "words", "config", "not applicable", "--every", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["wrong"] == []
    assert told["tried"] > 50
    assert told["decided_rightly"] > told["tried"] // 3


def test_a_wrong_verdict_is_told_and_ends_with_an_error(tmp_path: Path) -> None:
    text = (ROOT / "benchmarks" / "outsiders.toml").read_text(encoding="utf-8")
    corpus = tmp_path / "turned.toml"
    corpus.write_text(
        text[: text.index("[[group]]")]
        + '[[group]]\nkind = "files"\nstyle = "plain"\nin = "shop"\n'
        'lines = ["`docs/api.md` exists"]\nfalse = ["`docs/usage.md` exists"]\n'
        'open = ["`README.md` exists"]\n',
        encoding="utf-8",
    )
    done = outsiders("--corpus", str(corpus))
    assert done.returncode == 1
    assert json.loads(done.stdout)["wrong_verdicts"] == 3


def test_the_corpus_has_enough_lines_of_every_style_and_truth() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from outsiders import corpus, read_lines\n"
         "for l in read_lines(corpus()['group']): print(l.style, l.truth, l.text)"],
        cwd=ROOT / "benchmarks",
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    rows = [line.split(" ", 2) for line in done.stdout.splitlines()]
    assert len({text for *_, text in rows}) >= 300
    styles, truths = Counter(row[0] for row in rows), Counter(row[1] for row in rows)
    assert min(styles[s] for s in ("plain", "documented", "real")) >= 40
    assert min(truths[t] for t in ("true", "false", "open")) >= 50
