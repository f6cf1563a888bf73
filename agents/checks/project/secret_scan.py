"""Checks that a whole repository, or all of its history, holds no secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace

from orchestrate_agents.checks.project.copies import source_files
from orchestrate_agents.checks.project.runners import NODE_TEST, PYTHON_TEST
from orchestrate_agents.checks.secrets import secrets_in, secrets_in_text
from orchestrator.gates.checks import SEVERITY, Context, Result, check, failed, proven, unproven
from orchestrator.git.command import GitError, run_git
from orchestrator.git.repository import Repository

#: characters of a history that are read
_LONGEST = 64 * 1024 * 1024
_HARD = "[(hardcoded|hard-coded|plaintext|plain-text)]"
_WHAT = (
    f"{_HARD} (secrets|credentials|secrets (or|and|/) credentials|credentials or secrets|"
    "secrets or keys|secrets or API keys|secrets, keys or tokens|secrets or tokens)"
)
_CODE = "[the] (repository|repo|code|codebase|code base|source|source code|source files)"
_GIT = "[the] (repository|repo|git|version control|source control|codebase)"
#: where something that looks like a secret may be made up
_EXAMPLES = re.compile(
    r"(?:^|/)(?:tests?|__tests__|fixtures?|examples?|docs?|spec)/|\.(?:md|rst|example|sample)$",
    re.IGNORECASE,
)


@check(
    f"[there are] no {_WHAT} [(are|were)] (in|stored in|left in) {_CODE}",
    "[there are] no (hardcoded|hard-coded|plaintext) (secrets|credentials|secrets or credentials|"
    f"API keys|keys|tokens|passwords|secrets or passwords|secrets or API keys) [in {_CODE}]",
    f"(secrets|credentials) are (never|not) (hard-coded|hardcoded) [in {_CODE}]",
    f"{_CODE} (has|contains) no {_WHAT}",
    name="secrets.repository",
    slow=True,
    examples=("No secrets in the repository", "No hardcoded credentials"),
)
def repository_is_clean(ctx: Context) -> Result:
    """Every file that git tracks or would track: forms of keys, and names of what is assigned."""
    files = source_files(ctx)
    if not files:
        return unproven("no file is there")
    found = [
        (path, f"{path} line {line}: {what}")
        for path in files
        for line, what in secrets_in(ctx.root / path, path)
    ]
    return _judge(found, f"{len(files)} files", sorted(ctx.artifacts.keys() & set(files)))


@check(
    f"[there are] no {_WHAT} [(are|were)] in [the] [repository's|repository|repo] "
    "[git|commit] history",
    "[the] [git|commit] history (has|contains) no (secrets|credentials|secrets or credentials)",
    name="secrets.history",
    slow=True,
    examples=("No secrets in the git history",),
)
def history_is_clean(ctx: Context) -> Result:
    """Every line that a commit of any branch or tag added, as for the repository."""
    try:
        known = Repository.of(ctx.root)
        if known is None or known.shallow:
            return unproven("there is no history of git here, or only a part of it (`git fetch"
                            " --unshallow`)")  # fmt: skip
        log = run_git(
            ctx.root,
            *("log", "--all", "-p", "-m", "--unified=0", "--no-color", "--no-ext-diff"),
            *("--no-textconv", "--no-renames", "--format=%x01%h"),
        )
    except GitError as exc:
        return unproven(exc.reason)
    if len(log) > _LONGEST:
        return unproven(f"the history has {len(log):,} bytes; {_LONGEST:,} are read at most")
    found = []
    commits: set[str] = set()
    for commit, path, text in _added(log.decode("utf-8", "replace")):
        commits.add(commit)
        found += [(path, f"{commit} {path}: {what}") for _, what in secrets_in_text(text)]
    return _judge(found, f"the lines added by {len(log.split(bytes([1]))) - 1} commits", [])


@check(
    f"[there are] no {_WHAT} [(are|were)] (committed|checked in|checked into|committed to|in) "
    "[the] (git|version control|source control)",
    f"[there are] no {_WHAT} [(are|were)] (committed|checked in) [(to|into) {_GIT}]",
    f"(secrets|credentials) are (never|not) (committed|checked in) [(to|into) {_GIT}]",
    name="secrets.committed",
    slow=True,
    examples=("No secrets are committed", "Secrets are never committed to git"),
)
def none_committed(ctx: Context) -> Result:
    """The files as they are, and every line that any commit added."""
    results = (repository_is_clean(ctx), history_is_clean(ctx))
    worst = min(results, key=lambda result: SEVERITY.index(result.verdict))
    return replace(worst, detail="; ".join(result.detail for result in results))


def _added(log: str) -> Iterator[tuple[str, str, str]]:
    """(commit, path, the lines that it added to that file)."""
    for part in log.split("\x01")[1:]:
        commit, _, changes = part.partition("\n")
        for change in re.split(r"(?m)^diff --git ", changes)[1:]:
            name = re.search(r"(?m)^\+\+\+ b/(.*)$", change)
            lines = [ln[1:] for ln in change.splitlines() if re.match(r"\+(?!\+\+ )", ln)]
            if name and lines:
                yield commit.strip(), name[1], os.linesep.join(lines)


def _judge(found: list[tuple[str, str]], where: str, subjects: list[str]) -> Result:
    certain = [said for path, said in found if not _may_be_made_up(path)]
    listed = [said for _, said in found]
    if certain:
        return failed("; ".join(certain[:8]), *subjects, found=listed[:100])
    if listed:
        said = f"only where it may be made up, in tests or documents: {'; '.join(listed[:8])}"
        return unproven(said, *subjects, found=listed[:100])
    return proven(f"{where} hold nothing that looks like a secret", *subjects)


def _may_be_made_up(path: str) -> bool:
    return any(known.search(path) for known in (_EXAMPLES, PYTHON_TEST, NODE_TEST))
