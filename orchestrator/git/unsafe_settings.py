"""Which of git's settings make it run a program, read other settings or talk to another place."""

from __future__ import annotations

import re

#: sections of which every key may do so
_SECTIONS = re.compile(
    r"(?:filter|include|includeif|credential|url|http|https|protocol|extensions|gpg|pager|hook|lfs"
    r"|sendemail|imap|tar|browser|man|web|instaweb|guitool|difftool|mergetool|core)\."
)
#: keys of `core` that only say how files are written and compared
_HARMLESS_CORE = frozenset(
    {"abbrev", "autocrlf", "bare", "commentchar", "commentstring", "eol", "filemode", "ignorecase"}
    | {"logallrefupdates", "precomposeunicode", "quotepath", "repositoryformatversion", "safecrlf"}
    | {"symlinks", "whitespace", "compression", "bigfilethreshold"}
)
#: last words of keys whose value is a program or a place
_PROGRAMS = re.compile(
    r"(?:command|cmd|program|driver|textconv|editor|pager|hook|hooks?path|helper|external|askpass"
    r"|proxy|vcs|uploadpack|receivepack|difffilter|packobjectshook|file|path|template|templatedir)$"
)


def is_unsafe_setting(key: str, value: str) -> bool:
    """Whether a setting (as `git config --list` names it) may do so."""
    section, _, rest = key.lower().partition(".")
    if section == "core" and rest in _HARMLESS_CORE:
        return False
    if section in ("alias", "submodule"):
        return value.lstrip().startswith("!")
    if section in ("remote", "branch") and re.match(r"\w+::", value):
        # a helper program's address
        return True
    return bool(_SECTIONS.match(f"{section}.") or _PROGRAMS.search(rest))
