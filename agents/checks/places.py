"""Checks of files and folders: there, empty, gone, moved, counted, ignored by git."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from orchestrate_agents.checks.data.subjects import Amount
from orchestrate_agents.checks.text.tree import (
    PLACE,
    changed_files,
    files_of,
    read_area,
    read_places,
    resolve,
)
from orchestrator.gates.checks import (
    Context,
    Result,
    check,
    failed,
    parameter_type,
    proven,
    unproven,
)
from orchestrator.git.command import GitError, run_git, split_names

_JOIN = r"\s*(?:,\s*and\s+|,|\+|&|\s+and\s+)\s*"
parameter_type("manyplaces", rf"{PLACE}(?:{_JOIN}{PLACE})+", read_places)
# what has no extension is a path if it is called a file or a folder
_NAMED = r"`(?!/|\w+://|\.\.)[\w.@+\-\[\]()]+(?:/[\w.@+\-\[\]()]+)*/?`"
_FOLDER_NOUN = r"(?:folder|directory|sub-?folder|sub-?directory)"
_FILE_NOUN = (
    r"(?:(?:config(?:uration)?|test|script|migration|template|workflow|markdown|json|yaml|toml|env|"
    r"documentation|source)\s+)?(?:file|script|module|document|page|template|guide|fixture)"
)
_NODE = (
    rf"(?:{_NAMED}\s+(?:{_FOLDER_NOUN}|{_FILE_NOUN})|(?:{_FOLDER_NOUN}|{_FILE_NOUN})\s+{_NAMED})"
)


def _read_node(text: str) -> str:
    """The path; one that is called a folder ends with a slash."""
    path = text[text.index("`") :].split("`")[1]
    folder = re.search(_FOLDER_NOUN, re.sub(r"`[^`]*`", "", text), re.IGNORECASE)
    return path.rstrip("/") + "/" if folder else path


parameter_type("node", _NODE, _read_node)
_IGNORABLE = rf"(?:`[^`\s]+`|(?!`){PLACE})"
parameter_type("ignorable", rf"{_IGNORABLE}(?:{_JOIN}{_IGNORABLE})*", read_places)
parameter_type("folder_path", r"`?[\w.@+-]+(?:/[\w.@+-]+)*/`?", lambda t: t.strip(" `"))
parameter_type(
    "file_paths",
    rf"(?!`?[^`\s]*/`?(?:\s|$)){PLACE}(?:{_JOIN}{PLACE})*",
    read_places,
)
#: how statements call files → the ends of their names
_SUFFIXES = {
    "markdown": (".md", ".mdx", ".markdown"),
    "python": (".py",),
    "typescript": (".ts", ".tsx"),
    "javascript": (".js", ".jsx", ".mjs", ".cjs"),
    "json": (".json",),
    "yaml": (".yaml", ".yml"),
    "csv": (".csv",),
    "sql": (".sql",),
    "svg": (".svg",),
    "html": (".html", ".htm"),
    "css": (".css",),
}


def _read_suffixes(text: str) -> tuple[str, ...]:
    plain = text.strip("`").lower()
    return _SUFFIXES.get(plain) or ("." + plain.lstrip("*").lstrip("."),)


parameter_type("suffixes", rf"(?:{'|'.join(_SUFFIXES)}|`?\*?\.[a-z][a-z0-9.]*`?)", _read_suffixes)

#: their being there is all that they say
_MARKERS = ("__init__.py", "py.typed", ".gitkeep", ".keep", ".nojekyll")

# -- there -----------------------------------------------------------------------------------------

_THERE = (
    "[still] (exists|is there|is present|is in place|[has been|was|is] (created|added)) "
    "[{root:atroot}]"
)
parameter_type("atroot", r"(?:at|in) the (?:root|repository root|project root)", str.lower)
_ALL_THERE = "(exist|are there|are present|are in place|[have been|were|are] (created|added))"


@check(
    f"[(the|a|an)] [file] {{path:place}} [file] {_THERE}",
    f"[(the|a|an)] {{path:node}} {_THERE}",
    "there is (a|an) {path:place} [file] [{root:atroot}]",
    "there is (a|an) {path:node}",
    name="files.exists",
    examples=(
        "`migrations/012_branches.sql` exists",
        "The `src/utils` directory exists",
        "There is a `.env.example` file",
    ),
)
def exists(ctx: Context, path: str, root: str = "") -> Result:
    """The file or folder is present and not empty."""
    if root and "/" in path.rstrip("/"):
        return unproven(f"{path} is in a folder, not {root}", path)
    return exist(ctx, (path,))


@check(
    f"[the] [files] {{paths:manyplaces}} {_ALL_THERE}",
    "[both|all] [files|of] {paths:manyplaces} exist",
    name="files.exist",
    examples=("`src/a.ts` and `src/b.ts` exist",),
)
def exist(ctx: Context, paths: tuple[str, ...]) -> Result:
    """All of the files are present and not empty."""
    problems = []
    for named in paths:
        path = resolve(ctx, named)
        place = ctx.path(path)
        if place.is_dir():
            if not path.endswith("/") and not any(place.iterdir()):
                problems.append(f"{path} is an empty folder")
        elif path.endswith("/") or not place.is_file():
            problems.append(f"{path} is missing")
        elif not place.stat().st_size and place.name not in _MARKERS:
            problems.append(f"{path} is empty")
    if problems:
        return failed("; ".join(problems), *paths)
    return proven(f"{', '.join(paths)} {'is' if len(paths) == 1 else 'are'} there", *paths)


@check(
    "{path:place} (is not|isn't|is never) empty",
    "{path:place} is non-empty",
    "[the] {path:node} is not empty",
    name="files.not-empty",
    examples=("`docs/guide.md` is not empty", "The folder `reports/` is not empty"),
)
def not_empty(ctx: Context, path: str) -> Result:
    """The file has more than white space, the folder has a file in it or below it."""
    place = ctx.path(resolve(ctx, path))
    if place.is_dir():
        held = any(p.is_file() for p in place.rglob("*"))
    elif place.is_file() and not path.endswith("/"):
        with place.open("rb") as file:
            held = any(block.strip() for block in iter(lambda: file.read(1 << 20), b""))
    else:
        return failed(f"{path} is missing", path)
    return (proven if held else failed)(f"{path} is {'not ' if held else ''}empty", path)


@check(
    "{path:place} is [(completely|now)] empty",
    "[the] {path:node} is empty",
    name="files.empty",
    examples=("`CHANGES.next` is empty", "The folder `spool/` is empty"),
)
def empty(ctx: Context, path: str) -> Result:
    """The file or folder is there, and nothing but white space is in it."""
    held = not_empty(ctx, path)
    if not ctx.path(resolve(ctx, path)).exists():
        return held
    return (failed if held.verdict == "proven" else proven)(held.detail, path)


# -- gone ------------------------------------------------------------------------------------------


@check(
    "[the] [file] {paths:places} [file] (does not exist|do not exist|must not exist|is absent|"
    "are absent|is gone|are gone|no longer exists|no longer exist|is not present|are not present)",
    "[the] {path:node} (does not exist|must not exist|is absent|is gone|no longer exists)",
    "there is no {paths:places} [file] [in the (repository|repo|project|workspace)]",
    name="files.absent",
    examples=("`tmp/dump.sql` does not exist", "The `legacy` folder no longer exists"),
)
def absent(ctx: Context, paths: tuple[str, ...] = (), path: str = "") -> Result:
    """Nothing is at the path."""
    wanted = tuple(resolve(ctx, p) for p in paths or (path,))
    there = [p for p in wanted if os.path.lexists(ctx.path(p))]
    if there:
        return failed(f"there: {', '.join(there)}", *wanted)
    return proven(f"absent: {', '.join(wanted)}", *wanted)


@check(
    "[the] [(old|legacy|unused|obsolete)] [file|files] {paths:places} [file|files] "
    "[(is|are|was|were|has been|have been)] (removed|deleted) "
    "[from the (repository|repo|project|code base|codebase)]",
    "[the] {path:node} [(is|was|has been)] (removed|deleted) "
    "[from the (repository|repo|project|code base|codebase)]",
    name="files.removed",
    examples=("`legacy/` is removed", "`src/old.ts` and `src/older.ts` have been deleted"),
)
def removed(ctx: Context, paths: tuple[str, ...] = (), path: str = "") -> Result:
    """Nothing is there, and git or the family's changes know that it once was."""
    wanted = tuple(resolve(ctx, p) for p in paths or (path,))
    there = [p for p in wanted if ctx.path(p).exists()]
    if there:
        return failed(f"still there: {', '.join(there)}", *wanted)
    unknown = [p for p in wanted if not _was_there(ctx, p)]
    if unknown:
        said = f"absent, but nothing shows that it was ever there: {', '.join(unknown)}"
        return unproven(said, *wanted)
    return proven(f"removed: {', '.join(wanted)}", *wanted)


def _was_there(ctx: Context, path: str) -> bool:
    """Whether a path was in a commit or is among what the work changed."""
    below = path.rstrip("/")
    changed = changed_files(ctx) or frozenset()
    if any(p == below or p.startswith(below + "/") for p in changed):
        return True
    try:
        return bool(run_git(ctx.root, "log", "--format=%h", "-1", "--", below).strip())
    except GitError:
        return False


_MOVED = "(moved|renamed|relocated)"


@check(
    f"[the] [file|folder] {{old:place}} [(is|was|has been)] {_MOVED} to {{new:place}}",
    f"[the] [file|folder] {_MOVED} from {{old:place}} to {{new:place}}",
    f"{{new:place}} [(is|was|has been)] {_MOVED} from {{old:place}}",
    name="files.moved",
    examples=("`src/a.ts` is moved to `src/lib/a.ts`", "File moved from `a.py` to `b.py`"),
)
def moved(ctx: Context, old: str, new: str) -> Result:
    """Nothing is at the old path; what git has of it is for the most part at the new one."""
    target = new + PurePosixPath(old).name if new.endswith("/") and not old.endswith("/") else new
    gone, here = removed(ctx, (old,)), exist(ctx, (target,))
    for result in (here, gone):
        if result.verdict != "proven":
            return result
    lacking = [name for name, text in _last_texts(ctx, old) if not _is_at(ctx, target, name, text)]
    if lacking or not _last_texts(ctx, old):
        said = ", ".join(lacking[:5]) or f"what {old} held is not known"
        return unproven(f"{target} is there, but has not what git has of {said}", old, target)
    return proven(f"{old} is gone, and what it held is at {target}", old, target)


def _last_texts(ctx: Context, path: str) -> list[tuple[str, bytes]]:
    """(path, bytes) of what the newest commit that has it has at a path, or below it."""
    try:
        commit = run_git(ctx.root, "log", "--format=%H", "-1", "--", path).decode().strip()
        for at in (commit, f"{commit}^"):
            found = run_git(ctx.root, "ls-tree", "-rz", "--name-only", at, "--", path)
            if names := split_names(found):
                return [(n, run_git(ctx.root, "show", f"{at}:./{n}")) for n in names[:200]]
    except GitError:
        pass
    return []


def _is_at(ctx: Context, target: str, name: str, text: bytes) -> bool:
    """Whether half of the lines of a text stand in the file that has taken its place."""
    place = ctx.path(target)
    file = next(iter(place.rglob(PurePosixPath(name).name)), None) if place.is_dir() else place
    if file is None or not file.is_file():
        return False
    lines, now = _lines(text), set(_lines(file.read_bytes()))
    return 2 * sum(line in now for line in lines) >= len(lines)


def _lines(text: bytes) -> list[bytes]:
    return [line for line in map(bytes.strip, text.splitlines()) if line]


# -- counted ---------------------------------------------------------------------------------------


@check(
    "{folder:folder_path} (contains|has|holds|includes) {n:amount} [{suffixes:suffixes}] "
    "(file|files)",
    "there (is|are) {n:amount} [{suffixes:suffixes}] (file|files) in {folder:folder_path}",
    name="files.count",
    examples=("`docs/` contains at least 3 markdown files", "`src/` has at most 20 files"),
)
def count(ctx: Context, folder: str, n: Amount, suffixes: tuple[str, ...] = ()) -> Result:
    """Counts the workspace's own files below the folder, by the ends of their names."""
    found = _below(ctx, folder, suffixes)
    if isinstance(found, Result):
        return found
    direct = [p for p in found if "/" not in p.removeprefix(folder.removeprefix("./"))]
    said = f"{folder} has {len(found)} {' or '.join(suffixes)}".rstrip() + f" files, wanted {n}"
    if n.holds(len(found)) != n.holds(len(direct)):
        return unproven(f"{said}; {len(direct)} of them lie in the folder itself", folder)
    return (proven if n.holds(len(found)) else failed)(said, folder)


@check(
    "{folder:folder_path} (contains|has|holds) no {suffixes:suffixes} files",
    "[there are] no {suffixes:suffixes} files [(left|remain|remaining)] in {folder:folder_path}",
    name="files.none-of-kind",
    examples=("No `.js` files remain in `src/`",),
)
def none_of_kind(ctx: Context, folder: str, suffixes: tuple[str, ...]) -> Result:
    """No file below the folder has a name that ends so."""
    found = _below(ctx, folder, suffixes)
    if isinstance(found, Result):
        return found
    if found:
        return failed(f"{folder} has {', '.join(found[:10])}", *found[:10])
    return proven(f"{folder} has no {' or '.join(suffixes)} file", folder)


def _below(ctx: Context, folder: str, suffixes: Iterable[str]) -> list[str] | Result:
    if not ctx.path(folder).is_dir():
        return failed(f"{folder} is missing", folder)
    paths = files_of(ctx, read_area(folder))
    ends = tuple(suffixes)
    listed = () if isinstance(paths, Result) else paths
    return [p for p in listed if not ends or p.lower().endswith(ends)]


@check(
    "{folder:folder_path} (contains|has|holds|includes) [the] [file|files] {paths:file_paths}",
    name="files.in-folder",
    examples=("`src/` contains `index.ts` and `app.ts`",),
)
def in_folder(ctx: Context, folder: str, paths: tuple[str, ...]) -> Result:
    """Each of the files is in the folder itself and not empty."""
    result = exist(ctx, tuple(folder + path for path in paths))
    below = _below(ctx, folder, paths) if result.verdict == "failed" else ()
    if not isinstance(below, Result) and {PurePosixPath(p).name for p in below} >= set(paths):
        return unproven(f"{', '.join(below[:5])}: not in {folder} itself", folder)
    return result


# -- git -------------------------------------------------------------------------------------------


@check(
    "{paths:ignorable} (is|are) (ignored by git|gitignored|git-ignored)",
    "{paths:ignorable} (is|are) in .gitignore",
    "{paths:ignorable} (is|are) (included in|added to) .gitignore",
    "{paths:ignorable} (added to|listed in) [the] .gitignore",
    ".gitignore (contains|includes|lists|ignores|excludes|covers) {paths:ignorable}",
    "git ignores {paths:ignorable}",
    name="files.ignored",
    examples=("`.env` is in `.gitignore`", "`dist/` is ignored by git"),
)
def ignored(ctx: Context, paths: tuple[str, ...]) -> Result:
    """git itself says that it ignores the paths, and tracks nothing there."""
    problems = []
    try:
        run_git(ctx.root, "rev-parse", "--git-dir")
        for path in paths:
            # `dist/` ignores a folder, which need not be there yet
            if not any(_is_ignored(ctx, p) for p in (path, path.rstrip("/") + "/")):
                problems.append(f"{path} is not ignored")
            if split_names(run_git(ctx.root, "ls-files", "-z", "--", path)):
                problems.append(f"{path} is tracked all the same")
    except GitError:
        return unproven("there is no git repository", *paths)
    if problems:
        return failed("; ".join(problems), *paths)
    return proven(f"git ignores {', '.join(paths)}", *paths)


def _is_ignored(ctx: Context, path: str) -> bool:
    try:
        # check-ignore knows no literal paths
        loose = {"GIT_LITERAL_PATHSPECS": "0"}
        run_git(ctx.root, "check-ignore", "-q", "--no-index", "--", path, env=loose)
    except GitError:
        return False
    return True


@check(
    "{path:place} is executable",
    "[the] {path:node} is executable",
    name="files.executable",
    examples=("`scripts/build.sh` is executable",),
)
def executable(ctx: Context, path: str) -> Result:
    """The file is there and its owner may execute it."""
    place = ctx.path(path)
    if not place.is_file():
        return failed(f"{path} is missing", path)
    may = bool(place.stat().st_mode & 0o100)
    return (proven if may else failed)(f"{path} is {'' if may else 'not '}executable", path)
