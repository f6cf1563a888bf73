"""Code that a program makes of data is reported; what only looks like it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrate_agents.checks.python.data_as_code import code_of_data
from orchestrator.gates.checks import Context

BAD = (
    "eval(answer['x'])",
    "exec(open('/tmp/plugin.py').read())",
    "run = eval",
    "import pickle as p\np.loads(data)",
    "from marshal import loads\nloads(data)",
    "import yaml\nyaml.load(text)",
    "import os\nos.system(line)",
    "import subprocess\nsubprocess.run(line, shell=True)",
    "import numpy as np\nnp.load(place, allow_pickle=True)",
    "import importlib.util\nimportlib.util.spec_from_file_location('x', place)",
    "getattr(__builtins__, 'ev' + 'al')(text)",
    "map(eval, cells)",
)
GOOD = (
    "import re\nre.compile(text)",
    "def compile(x): return x\ncompile(text)",
    "frame.eval('a + b'); session.exec(query)",
    "code = row['code']\ncode.strip()",
    "import yaml\nyaml.load(text, Loader=yaml.SafeLoader)",
    "import subprocess\nsubprocess.run(['git', 'log'])",
    "import numpy as np\nnp.load(place)",
    "# eval(x), exec(y)\nnote = 'eval(x)'",
    "import importlib\nimportlib.import_module('json')",
)


@pytest.mark.parametrize("text", [*BAD, *GOOD])
def test_code_of_data_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "own.py").write_text(text)
    (tmp_path / "s.py").write_text("import own\n")
    found = list(code_of_data(Context(tmp_path), "s.py"))
    assert bool(found) is (text in BAD), found
    assert all(line.startswith("own.py:") for line in found)
