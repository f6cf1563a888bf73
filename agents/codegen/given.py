"""Code that the specification gives whole, written as it stands (DESIGN 5.4)."""

from __future__ import annotations

from orchestrate_agents.specification.files import FileSpec

_LANGUAGES = {
    ".py": ("python", "py", "python3"),
    ".ts": ("typescript", "ts"),
    ".tsx": ("tsx", "typescript", "ts"),
    ".js": ("javascript", "js"),
    ".mjs": ("javascript", "js", "mjs"),
    ".jsx": ("jsx", "javascript", "js"),
    ".sh": ("bash", "sh", "shell"),
    ".sql": ("sql", "postgresql"),
    ".json": ("json", "jsonc"),
    ".yml": ("yaml", "yml"),
    ".yaml": ("yaml", "yml"),
    ".toml": ("toml",),
    ".md": ("markdown", "md"),
    ".html": ("html",),
    ".css": ("css",),
    ".txt": ("text", "txt", "plaintext"),
}


def given_code(spec: FileSpec) -> str:
    """The specification's block whose language fits the file, "" if there is none."""
    fitting = _LANGUAGES.get(spec.suffix, (spec.suffix.lstrip("."),))
    for block in spec.code:
        language = block.language.lower()
        if block.text.strip() and (language in fitting or not language):
            return block.text.rstrip("\n") + "\n"
    return ""
