"""Secrets in files: keys, tokens and passwords, by their form and by what they are assigned to.

The detectors are those of detect-secrets (https://github.com/Yelp/detect-secrets) that know a form;
what it lacks is added here. Nothing is verified over the network.
"""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

#: delivered files are read up to here
_MAX_BYTES = 8 * 1024 * 1024

#: module → detector. Left out are guesses by entropy, and forms that hashes and words have too
_DETECTORS = {
    "aws": "AWSKeyDetector",
    "azure_storage_key": "AzureStorageKeyDetector",
    "discord": "DiscordBotTokenDetector",
    "github_token": "GitHubTokenDetector",
    "gitlab_token": "GitLabTokenDetector",
    "jwt": "JwtTokenDetector",
    "mailchimp": "MailchimpDetector",
    "npm": "NpmDetector",
    "openai": "OpenAIDetector",
    "private_key": "PrivateKeyDetector",
    "pypi_token": "PypiTokenDetector",
    "sendgrid": "SendGridDetector",
    "slack": "SlackDetector",
    "square_oauth": "SquareOAuthDetector",
    "stripe": "StripeDetector",
    "telegram_token": "TelegramBotTokenDetector",
}
#: forms that detect-secrets lacks or knows in part
_MORE_FORMS = (
    ("a private key", re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----")),
    ("a Supabase key", re.compile(r"\b(?:sb_secret_|sbp_)[\w-]{16,}")),
    ("a GitHub token", re.compile(r"\b(?:gh[pousr]_\w{30,}|github_pat_\w{30,})")),
    ("a JSON web token", re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}")),
    ("a Slack token", re.compile(r"\bxox[abprs]-[\w-]{10,}")),
    ("a Google key", re.compile(r"\bAIza[\w-]{35}\b")),
    (
        "an API key",
        re.compile(r"\b(?:sk|rk)[-_](?:live[-_]|test[-_]|proj-|ant-)?[A-Za-z0-9_-]{20,}"),
    ),
)
_URL_PASSWORD = re.compile(r"\b[a-z][a-z0-9+]*://[^\s:/@'\"<{$]+:([^\s@'\"<]+)@")
#: names of tokens and keys, values over two lines, and values without quotes
_ASSIGNED = re.compile(
    r"""(?P<name>\b\w*(?:secret|password|passwd|api_?key|access_?key|service_?(?:role_?)?key
        |auth_?token|access_?token|private_?key|client_?secret|role_?key)\w*)["']?\s*(?::\s*\w+\s*)?[:=]>?\s*
        (?:["'`](?P<quoted>[^"'`\n]{8,})["'`]|(?P<bare>[A-Za-z0-9+/_-]{16,}={0,2})\s*$)""",
    re.IGNORECASE | re.VERBOSE | re.MULTILINE,
)
#: lines that the keyword detector is asked about
_KEYWORD = re.compile(r"key|pass|pwd|secret|contrase", re.IGNORECASE)
#: what stands for a secret in documentation and templates, or reads one
#: what may be a text in base 64 or hexadecimal digits
_ENCODED = re.compile(r"(?<![\w+/=-])[\w+/-]{24,}={0,2}(?![\w+/=-])", re.ASCII)
_STAND_IN = re.compile(
    r"[$<{%]|environ|getenv|process\.env|import\.meta|your|example|placeholder|change_?me|dummy"
    r"|redacted|\*{3,}|x{6,}|\.{3}|^(?-i:[A-Z]+(?:_[A-Z0-9]+)*)$"
    r"|^(?:password|passwd|pass|pwd|secret|user)$",
    re.IGNORECASE,
)
_MIXED = re.compile(r"(?=.*\d)(?=.*[A-Za-z]).{8}")

#: what a bundler packs for the browser, variables of the environment included
_BROWSER_CODE = {".ts", ".tsx", ".js", ".jsx", ".mjs", ".vue", ".svelte"}
_SERVER_SIDE = {"server", "api", "functions", "scripts", "backend", "supabase", "edge"}
#: the environment's variable, read: `env.SUPABASE_SERVICE_ROLE_KEY`, `env["SERVICE_ROLE"]`
_SERVICE_ROLE_KEY = re.compile(r"""\benv(?:\.|\??\.?\[\s*["'`])\w*SERVICE_ROLE\w*""")
#: where a literal continues in the next one: `"ab" + "cd"`, `"ab" "cd"`, a line break between them
_SEAM = re.compile(r"""(["'`])[ \t]*(?:\+|\.|\|\||\\)?\s*(?:\+|\|\|)?[ \t]*\1""")


def secrets_in(path: Path, place: str) -> Iterator[tuple[int, str]]:
    """(line, what) of everything in a text file that looks like a secret, without its value.

    `place` is the path in the workspace.
    """
    with path.open("rb") as file:
        text = file.read(_MAX_BYTES).decode("utf-8", "replace")
    yield from secrets_in_text(text)
    if path.suffix.lower() in _BROWSER_CODE and not _SERVER_SIDE & set(place.split("/")):
        for found in _SERVICE_ROLE_KEY.finditer(text):
            yield _line(text, found.start()), "the service-role key in code for the browser"


def secrets_in_text(text: str) -> Iterator[tuple[int, str]]:
    """The same for a text. Literals that are concatenated are read as one, too."""
    plain = dict(_find_secrets(text))
    yield from plain.items()
    for found in _ENCODED.finditer(text):
        for _, what in dict(_find_secrets(decoded(found.group()))).items():
            yield _line(text, found.start()), f"{what}, encoded"
    joined = _SEAM.sub(lambda seam: "\n" * seam.group().count("\n"), text)
    if joined == text:
        return
    known = set(plain.values())
    for line, what in dict(_find_secrets(joined)).items():
        if what not in known:
            yield line, f"{what}, in parts"


def decoded(word: str) -> str:
    """The text that a word is in base 64 or hexadecimal digits, "" if it is none."""
    with contextlib.suppress(ValueError):
        if re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", word):
            return bytes.fromhex(word).decode("ascii")
        bare = word.rstrip("=").translate(str.maketrans("-_", "+/"))
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True).decode("ascii")
    return ""


def _find_secrets(text: str) -> Iterator[tuple[int, str]]:
    """(line, what), several for a line where several detectors find something."""
    for found in _ASSIGNED.finditer(text):
        value = found["quoted"] or found["bare"] or ""
        if _looks_secret(value):
            yield _line(text, found.start()), f"a literal assigned to {found['name']}"
    keyword, *detectors = _load_detectors()
    for number, line in enumerate(text.split("\n"), 1):
        if _KEYWORD.search(line) and any(map(_looks_secret, keyword.analyze_string(line))):
            yield number, "a literal compared with or assigned to a secret's name"
    for found in _URL_PASSWORD.finditer(text) if "@" in text else ():
        if not _STAND_IN.search(found[1]):
            yield _line(text, found.start()), "a URL with a password"
    for detector in detectors:
        for value in detector.analyze_string(text):
            yield _line(text, text.find(value)), detector.secret_type
    for what, form in _MORE_FORMS:
        for found in form.finditer(text):
            yield _line(text, found.start()), what


def _looks_secret(value: str) -> bool:
    return bool(_MIXED.match(value)) and not _STAND_IN.search(value)


@cache
def _load_detectors() -> tuple[Any, ...]:
    """The keyword detector, which reads single lines, and those that read a whole text."""
    modules = {"keyword": "KeywordDetector", **_DETECTORS}
    return tuple(
        getattr(import_module(f"detect_secrets.plugins.{module}"), name)()
        for module, name in modules.items()
    )


def _line(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1
