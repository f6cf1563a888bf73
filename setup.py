"""The names that the wheel installs: all begin with `orchestrat`, whatever the folders are called.

`agents` and `backend` are common names; installed as they are, they would shadow other packages
(`openai-agents` imports as `agents`) and a repository's own folders.
"""

from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

FOLDERS = {
    "orchestrator": "orchestrator",
    "orchestrate_agents": "agents",
    "orchestrate_backend": "backend",
}

DOCS = Path(__file__).parent / "docs"


class BuildWithDocs(build_py):
    """Puts the pages of the documentation into the package, where `orchestrate docs` finds them."""

    def run(self):
        super().run()
        if not self.editable_mode:
            for page, copy in self._pages():
                copy.parent.mkdir(parents=True, exist_ok=True)
                self.copy_file(str(page), str(copy))

    def get_outputs(self, include_bytecode=True):
        copies = [str(copy) for _, copy in self._pages()]
        return [*super().get_outputs(include_bytecode), *copies]

    def _pages(self):
        place = Path(self.build_lib) / "orchestrator" / "docs"
        return [(page, place / page.relative_to(DOCS)) for page in sorted(DOCS.rglob("*.md"))]


setup(
    cmdclass={"build_py": BuildWithDocs},
    package_dir=FOLDERS,
    packages=[
        name
        for package, folder in FOLDERS.items()
        for name in [package, *(f"{package}.{sub}" for sub in find_packages(folder))]
    ],
)
