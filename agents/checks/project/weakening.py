"""What the work made laxer: settings of a tool, comments that silence it, tests that are gone.

A tool that reports nothing proves little if the work has told it to look away.
"""

from __future__ import annotations

import configparser
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrate_agents.checks.project.copies import source_files
from orchestrate_agents.checks.project.runners import NODE_TEST, PYTHON_TEST
from orchestrate_agents.checks.project.start import Start, find_start, text_now
from orchestrator.gates.checks import Context

_SCRIPTS = r"\.(?:[cm]?[jt]sx?|vue|svelte)$"


@dataclass(frozen=True)
class Topic:
    """What belongs to one kind of tool."""

    #: files that hold nothing but its settings
    files: str
    #: its tables in files that hold other things too, as prefixes of keys
    tables: tuple[str, ...]
    #: what is written in source to silence it, and in which files
    silencers: str
    sources: str


TOPICS = {
    "tests": Topic(
        r"(?:^|/)(?:pytest\.ini|\.?mocharc\..*|(?:vitest|jest)\.(?:config|workspace)\..*)$",
        ("tool.pytest", "pytest.", "tool:pytest.", "scripts.test", "jest."),
        r"pytest\.mark\.(?:skip|xfail)|pytest\.(?:skip|xfail|importorskip)\(|unittest\.(?:skip|"
        r"expectedFailure)|\bskipTest\(|\b(?:it|test|describe)\.(?:skip|only|todo|fails)\b|"
        r"\bx(?:it|describe|test)\(|\{\s*(?:skip|todo|only)\s*:|#\[ignore|\bt\.Skip",
        r"\.(?:py|rs|go)$|" + _SCRIPTS,
    ),
    "coverage": Topic(
        r"(?:^|/)(?:\.coveragerc|\.?nycrc.*|\.c8rc.*|(?:vitest|jest)\.config\..*)$",
        ("tool.coverage", "coverage:", "run.", "report.", "jest.coverage", "jest.collect", "nyc."),
        r"#\s*pragma:\s*no\s*cover|(?:istanbul|c8|v8) ignore",
        r"\.py$|" + _SCRIPTS,
    ),
    "lint": Topic(
        r"(?:^|/)(?:\.?ruff\.toml|\.flake8|\.pylintrc|\.?eslint[\w.]*|biome\.jsonc?|"
        r"\.pre-commit-config\.yaml|\.stylelintrc.*|\.?clippy\.toml|\.golangci\..*)$",
        ("tool.ruff", "tool.pylint", "tool.flake8", "flake8.", "eslintConfig", "scripts.lint"),
        r"#\s*noqa|#\s*pylint:\s*disable|#\s*ruff:\s*noqa|eslint-disable|biome-ignore|"
        r"#!?\[allow\(|//\s*nolint",
        r"\.(?:py|pyi|rs|go)$|" + _SCRIPTS,
    ),
    "format": Topic(
        r"(?:^|/)(?:\.?ruff\.toml|\.?prettier[\w.]*|biome\.jsonc?|\.editorconfig|rustfmt\.toml)$",
        ("tool.ruff", "tool.black", "tool.isort", "prettier", "scripts.format"),
        r"#\s*fmt:\s*(?:off|skip)|prettier-ignore|biome-ignore format",
        r"\.(?:py|pyi|css|md|html|json)$|" + _SCRIPTS,
    ),
    "types": Topic(
        r"(?:^|/)(?:mypy\.ini|\.mypy\.ini|pyrightconfig\.json|tsconfig[\w.]*\.json)$",
        ("tool.mypy", "tool.pyright", "mypy", "scripts.type"),
        r"#\s*type:\s*ignore|#\s*pyright:|@ts-(?:ignore|nocheck|expect-error)",
        r"\.(?:py|pyi)$|" + _SCRIPTS,
    ),
    "build": Topic(
        r"(?:^|/)tsconfig[\w.]*\.json$",
        ("scripts.build", "scripts.prebuild", "scripts.postbuild", "build-system"),
        r"@ts-(?:ignore|nocheck|expect-error)",
        _SCRIPTS,
    ),
}
_SHARED = re.compile(r"(?:^|/)(?:pyproject\.toml|setup\.cfg|tox\.ini|package\.json)$")
#: hooks by which a conftest decides what is run and how it ended
_HOOKS = re.compile(
    r"def (pytest_(?:runtest_\w+|collection_modifyitems|ignore_collect|pyfunc_call|sessionfinish|"
    r"report_teststatus|collect_\w+|pycollect_\w+|itemcollected|deselected))"
    r"|\b(collect_ignore(?:_glob)?)\s*="
)
_LAX = re.compile(r"ignor|exclud|omit|disabl|skip|allow|deselect|filterwarnings", re.IGNORECASE)
_CHOOSING = re.compile(r"select|enable|rules|testpaths|includ|source|files|plugins", re.IGNORECASE)
_LIMIT = re.compile(r"fail_under|threshold|lines|branches|functions|statements|min", re.IGNORECASE)
_NARROWING = re.compile(r"(?:^|\s)(?:-k|-m|--deselect|--ignore\S*|--co\S*|--lf|-p|--cov-fail\S*)")
_OFF: tuple[object, ...] = (False, 0, "off", "warn", "none", "basic", None)


def weakened(ctx: Context, *names: str) -> tuple[str, ...]:
    """What was made laxer since the start, one line each; nothing where that is not known."""
    start = find_start(ctx)
    if start is None:
        return ()
    found: list[str] = []
    for path in sorted(start.changed):
        before, now = start.text(path), text_now(ctx.root, path)
        for name in names:
            found += _of_topic(TOPICS[name], path, before, now)
        if "tests" in names:
            found += _hooks(path, before, now)
    if "tests" in names:
        found += _lost_tests(ctx, start)
    return tuple(dict.fromkeys(found))


def _of_topic(topic: Topic, path: str, before: str | None, now: str | None) -> Iterator[str]:
    own = re.search(topic.files, path) is not None
    if own or _SHARED.search(path):
        yield from _settings(path, before, now, () if own else topic.tables)
    if re.search(topic.sources, path) and now is not None:
        more = [len(re.findall(topic.silencers, text or "")) for text in (before, now)]
        if more[1] > more[0]:
            said = re.findall(topic.silencers, now)[0]
            yield f"{path} has {more[1] - more[0]} more of `{said}` and the like"


def _settings(
    path: str, before: str | None, now: str | None, tables: tuple[str, ...]
) -> Iterator[str]:
    """The settings that let more pass; of a file that is not data, that it changed."""
    if before is not None and now is None and not tables:
        yield f"{path} was removed"
        return
    if path.endswith((".js", ".mjs", ".cjs", ".ts", ".yaml", ".yml")):
        if before is not None and before != now:
            yield f"{path} was changed"
        return
    was, is_now = _leaves(path, before), _leaves(path, now)
    for key in sorted(was.keys() | is_now.keys()):
        first, second = was.get(key), is_now.get(key)
        if (tables and not key.startswith(tables)) or first == second:
            continue
        if _is_laxer(key, first, second):
            yield f"{path}: {key} {_shown(first)} → {_shown(second)}"


def _is_laxer(key: str, before: Any, now: Any) -> bool:
    lax = _LAX.search(key) is not None
    if isinstance(before, frozenset) or isinstance(now, frozenset):
        first, second = before or frozenset(), now or frozenset()
        if lax:
            return not second <= first
        if _CHOOSING.search(key):
            return not second >= first
        return before is not None
    if "addopts" in key:
        return bool(_NARROWING.search(str(now or ""))) or bool(before)
    if before is None:
        return bool(now) if lax else now in _OFF
    if now is None:
        return not lax
    if isinstance(before, bool) and isinstance(now, bool):
        return now is lax
    if isinstance(before, int | float) and isinstance(now, int | float) and _LIMIT.search(key):
        return now < before
    return before not in _OFF or now in _OFF


def _shown(value: Any) -> str:
    if value is None:
        return "(not set)"
    return ", ".join(sorted(value)) if isinstance(value, frozenset) else json.dumps(value)


def _leaves(path: str, text: str | None) -> dict[str, Any]:
    """Dotted key → value of a file of settings; lists are sets of words."""
    if text is None:
        return {}
    data: Any = {}
    try:
        if path.endswith((".json", ".jsonc")) or text.lstrip().startswith("{"):
            data = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
        elif path.endswith(".toml"):
            data = tomllib.loads(text)
        else:
            parser = configparser.ConfigParser(interpolation=None)
            parser.read_string(text)
            data = {name: dict(parser[name]) for name in parser.sections()}
    except (ValueError, configparser.Error):
        return {"(text)": text}
    return dict(_flatten("", data))


def _flatten(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _flatten(f"{prefix}.{key}" if prefix else str(key), below)
    elif isinstance(value, list):
        yield prefix, frozenset(v if isinstance(v, str) else json.dumps(v) for v in value)
    else:
        yield prefix, value


def _hooks(path: str, before: str | None, now: str | None) -> Iterator[str]:
    if path.endswith(".py") and now is not None:
        known = {a or b for a, b in _HOOKS.findall(before or "")}
        new = [a or b for a, b in _HOOKS.findall(now) if (a or b) not in known]
        if new or (known and before != now and _HOOKS.search(now)):
            yield f"{path} decides by {', '.join(new or sorted(known))} what a test's result is"


# -- tests that are gone ---------------------------------------------------------------------------

_PYTHON_NAME = re.compile(r"^\s*(?:async )?def (test\w*)", re.MULTILINE)
_NODE_NAME = re.compile(r"\b(?:it|test)(?:\.\w+)*\(\s*(['\"`])(.+?)\1")
_ASSERTION = re.compile(r"\bassert\w*\b|\bexpect\(|\bpytest\.raises\b")


def test_names(path: str, text: str) -> set[str]:
    """The tests that a file says it has."""
    if PYTHON_TEST.search(path):
        return set(_PYTHON_NAME.findall(text))
    return {title for _, title in _NODE_NAME.findall(text)} if NODE_TEST.search(path) else set()


def _lost_tests(ctx: Context, start: Start) -> Iterator[str]:
    lost: dict[str, set[str]] = {}
    for path in sorted(start.changed):
        before = start.text(path) or ""
        now = text_now(ctx.root, path)
        gone = test_names(path, before) - test_names(path, now or "")
        if gone:
            lost[path] = gone
        elif now is not None and test_names(path, before):
            fewer = len(_ASSERTION.findall(before)) - len(_ASSERTION.findall(now))
            if fewer > 0:
                yield f"{path} has {fewer} fewer assertions"
    if lost:
        files = [p for p in source_files(ctx) if PYTHON_TEST.search(p) or NODE_TEST.search(p)]
        elsewhere = {n for p in files for n in test_names(p, text_now(ctx.root, p) or "")}
        for path, gone in lost.items():
            if missing := sorted(gone - elsewhere):
                named = ", ".join(missing[:5])
                yield f"{len(missing)} tests of {path} are gone or have another name: {named}"
