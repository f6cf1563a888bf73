"""The linters, formatters, type checkers and builds that are known, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tool:
    """One tool: for what, of which files, how it is run and where it is configured."""

    program: str
    purpose: str
    #: endings of the files that it reads
    reads: tuple[str, ...]
    #: its words, `{where}` for the place
    words: str
    #: files, and tables of shared files, that configure it
    files: str
    tables: tuple[str, ...] = ()
    #: exit codes that say that the tool itself stopped
    stops: tuple[int, ...] = ()
    #: what it is added to for "no warnings"
    strict: str = ""


_PY, _JS = (".py", ".pyi"), (".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".vue", ".svelte")
_RUFF = r"(?:^|/)\.?ruff\.toml$"
TOOLS = (
    Tool("ruff", "lint", _PY, "ruff check --no-cache {where}", _RUFF, ("tool.ruff",), (2,)),
    Tool("flake8", "lint", _PY, "flake8 {where}", r"^\.flake8$", ("flake8",)),
    Tool("pylint", "lint", _PY, "pylint {where}", r"^\.?pylintrc", ("tool.pylint",), (32,)),
    Tool("ruff", "format", _PY, "ruff format --check --no-cache {where}", r"$^", (), (2,)),
    Tool("black", "format", _PY, "black --check {where}", r"$^", ("tool.black",), (123,)),
    Tool("isort", "format", _PY, "isort --check-only {where}", r"^\.isort", ("tool.isort",)),
    Tool(
        "mypy",
        "types",
        _PY,
        "mypy --cache-dir=/dev/null {where}",
        r"^\.?mypy\.ini$",
        ("tool.mypy", "mypy"),
    ),
    Tool(
        "pyright", "types", _PY, "pyright {where}", r"^pyrightconfig", ("tool.pyright",), (2, 3, 4)
    ),
    Tool(
        "eslint",
        "lint",
        _JS,
        "eslint {where}",
        r"^\.?eslint(?:rc|\.config)",
        ("eslintConfig",),
        (2,),
        "--max-warnings=0",
    ),
    Tool(
        "biome",
        "lint",
        _JS,
        "biome lint {where}",
        r"^biome\.json",
        (),
        (),
        "--error-on-warnings",
    ),
    Tool("biome", "format", _JS, "biome format {where}", r"^biome\.json"),
    Tool(
        "prettier",
        "format",
        (*_JS, ".css", ".json", ".md", ".html"),
        "prettier --check {where}",
        r"^\.?prettier(?:rc|\.config)",
        ("prettier",),
        (2,),
    ),
    Tool("tsc", "types", (".ts", ".tsx", ".mts"), "tsc --noEmit", r"^tsconfig\.json$"),
    Tool("go", "lint", (".go",), "go vet ./...", r"^go\.mod$"),
    Tool("go", "build", (".go",), "go build ./...", r"^go\.mod$"),
    Tool("cargo", "lint", (".rs",), "cargo clippy --offline -- -D warnings", r"^\.?clippy\.toml$"),
    Tool("cargo", "format", (".rs",), "cargo fmt --check", r"^Cargo\.toml$"),
    Tool("cargo", "build", (".rs",), "cargo build --offline", r"^Cargo\.toml$"),
)
