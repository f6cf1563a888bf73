"""Secrets in files: keys, tokens and passwords, by their form and by what they are assigned to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

#: delivered files are read up to here
_MAX_BYTES = 8 * 1024 * 1024

_FORMS = (
    ("a private key", re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----")),
    ("a JSON web token", re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}")),
    ("a Supabase key", re.compile(r"\b(?:sb_secret_|sbp_)[\w-]{16,}")),
    ("an AWS key", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("a GitHub token", re.compile(r"\b(?:gh[pousr]_\w{30,}|github_pat_\w{30,})")),
    ("a Slack token", re.compile(r"\bxox[abprs]-[\w-]{10,}")),
    ("a Google key", re.compile(r"\bAIza[\w-]{35}\b")),
    (
        "an API key",
        re.compile(r"\b(?:sk|rk)[-_](?:live[-_]|test[-_]|proj-|ant-)?[A-Za-z0-9_-]{20,}"),
    ),
    (
        "a URL with a password",
        re.compile(r"\b[a-z][a-z0-9+]*://[^\s:/@'\"<{$]+:(?P<value>[^\s@'\"<]+)@"),
    ),
)
_ASSIGNED = re.compile(
    r"""(?P<name>\b\w*(?:secret|password|passwd|api_?key|access_?key|service_?(?:role_?)?key
        |auth_?token|access_?token|private_?key|client_?secret|role_?key)\w*)["']?\s*(?::\s*\w+\s*)?[:=]>?\s*
        (?:["'`](?P<quoted>[^"'`\n]{8,})["'`]|(?P<bare>[A-Za-z0-9+/_-]{16,}={0,2})\s*$)""",
    re.IGNORECASE | re.VERBOSE | re.MULTILINE,
)
#: what stands for a secret in documentation and templates, or fetches one
_STAND_IN = re.compile(
    r"[$<{%]|environ|getenv|process\.env|import\.meta|your|example|placeholder|change_?me|dummy"
    r"|redacted|\*{3,}|x{6,}|\.{3}|^(?-i:[A-Z]+(?:_[A-Z0-9]+)*)$"
    r"|^(?:password|passwd|pass|pwd|secret|user)$",
    re.IGNORECASE,
)
_MIXED = re.compile(r"(?=.*\d)(?=.*[A-Za-z])")


#: what a bundler packs for the browser, variables of the environment included
_OF_BROWSERS = {".ts", ".tsx", ".js", ".jsx", ".mjs", ".vue", ".svelte"}
_SERVER_SIDE = {"server", "api", "functions", "scripts", "backend", "supabase", "edge"}
#: the environment's variable, read: `env.SUPABASE_SERVICE_ROLE_KEY`, `env["SERVICE_ROLE"]`
_OWNERS_KEY = re.compile(r"""\benv(?:\.|\??\.?\[\s*["'`])\w*SERVICE_ROLE\w*""")


def secrets_in(path: Path, place: str) -> Iterator[tuple[int, str]]:
    """(line, what) of everything in a text file that looks like a secret, without its value.

    `place` is where it lies in the workspace.
    """
    with path.open("rb") as file:
        text = file.read(_MAX_BYTES).decode("utf-8", "replace")
    yield from secrets_in_text(text)
    if path.suffix.lower() in _OF_BROWSERS and not _SERVER_SIDE & set(place.split("/")):
        for found in _OWNERS_KEY.finditer(text):
            what = "the key past row level security, in code for the browser"
            yield _line(text, found.start()), what


#: where a literal goes on in the next one: `"ab" + "cd"`, `"ab" "cd"`, a line end between them
_SEAM = re.compile(r"""(["'`])[ \t]*(?:\+|\.|\|\||\\)?\s*(?:\+|\|\|)?[ \t]*\1""")


def secrets_in_text(text: str) -> Iterator[tuple[int, str]]:
    """The same for a text. Literals that are put together are read as one, too."""
    plain = list(_secrets(text))
    yield from plain
    joined = _SEAM.sub(lambda seam: "\n" * seam.group().count("\n"), text)
    known = {what for _, what in plain}
    yield from ((n, f"{what}, in parts") for n, what in _secrets(joined) if what not in known)


def _secrets(text: str) -> Iterator[tuple[int, str]]:
    for what, form in _FORMS:
        for found in form.finditer(text):
            if "value" not in form.groupindex or not _STAND_IN.search(found["value"]):
                yield _line(text, found.start()), what
    for found in _ASSIGNED.finditer(text):
        value = found["quoted"] or found["bare"] or ""
        if _MIXED.match(value) and not _STAND_IN.search(value):
            yield _line(text, found.start()), f"a literal assigned to {found['name']}"


def _line(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1
