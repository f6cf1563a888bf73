"""The names that the wheel installs: all begin with `orchestrat`, whatever the folders are called.

`agents` and `backend` are common names; installed as they are, they would shadow other packages
(`openai-agents` imports as `agents`) and a repository's own folders.
"""

from setuptools import find_packages, setup

FOLDERS = {
    "orchestrator": "orchestrator",
    "orchestrate_agents": "agents",
    "orchestrate_backend": "backend",
}

setup(
    package_dir=FOLDERS,
    packages=[
        name
        for package, folder in FOLDERS.items()
        for name in [package, *(f"{package}.{sub}" for sub in find_packages(folder))]
    ],
)
