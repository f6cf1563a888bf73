"""Texts with keys or steering characters, code planted for git, odd files."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from benchmarks._hostile_desk import (
    BEGIN,
    KEYS,
    MEMORY,
    PASSWORD,
    PROBES,
    REPORT,
    TICKET,
    Desk,
    Probe,
    effect,
    probe,
    python,
    with_git,
)

# -- keys in what others print ---------------------------------------------------------------------

_TOKEN = KEYS["DEPLOY_TOKEN"]
_FORMS = {
    "as it is": _TOKEN,
    "in base64": base64.b64encode(_TOKEN.encode()).decode(),
    "in base64, after a name": base64.b64encode(f"u:{_TOKEN}".encode()).decode(),
    "in base64 for addresses": base64.urlsafe_b64encode(_TOKEN.encode()).decode(),
    "encoded for an address": quote(_TOKEN, safe=""),
    "in hexadecimal": _TOKEN.encode().hex(),
    "as JSON": json.dumps(_TOKEN),
    "reversed as bytes' repr": repr(_TOKEN.encode()),
    "the database's address": KEYS["DATABASE_URL"],
    "its password": PASSWORD,
    "its password, encoded": quote(PASSWORD, safe=""),
    "a key that it was not given": KEYS["SOME_API_KEY"],
    "an address of notifications": KEYS["ORCHESTRATE_NOTIFY_URLS"],
}


def _leak(text: str) -> str:
    return "; ".join(sorted({name for name, form in _FORMS.items() if form in text}))


_WAYS = {
    "stderr and a failure": "sys.stderr.write({form!r} + '\\n'); sys.exit(3)\n",
    "its section": "print(json.dumps({{'outcome': 'done', 'section': 'x ' + {form!r}}}))\n",
    "its reason": "print(json.dumps({{'outcome': 'needs_person', 'reason': 'x ' + {form!r}}}))\n",
    "no report": "print('broken', {form!r})\n",
}


def _masked(way: str) -> Probe:
    def run(root: Path) -> str:
        desk = Desk(root, _WAYS[way].format(form="\n".join(_FORMS.values())))
        said = desk.call("run", "WO-1", "--json").stdout + desk.call("run", "WO-1").stdout
        return _leak(said + desk.kept() + (desk.shown() if way == "its reason" else ""))

    return run


for _way in _WAYS:
    PROBES["masks"][_way] = _masked(_way)


@probe("masks", "a script's error")
def _script_error(root: Path) -> str:
    text = repr("\n".join(_FORMS.values()))
    code = f"import sys; sys.stderr.write({text}); print({text}); sys.exit(2)"
    return effect(code, lambda _r, _s, said: _leak(said))(root)


@probe("masks", "an address that cannot be reached")
def _address(root: Path) -> str:
    desk = Desk(root)
    desk.settings('[database]\ntarget = "postgres"\n')
    done = desk.call("run", "WO-1", "--json").stdout + desk.call("doctor", "--json").stdout
    done += desk.call("config", "show").stdout
    body = (
        "import os, pathlib; from orchestrate_backend.targets.choose import choose_target\n"
        "try:\n"
        f"    t = choose_target('postgres', os.environ, pathlib.Path({str(root)!r}))\n"
        "    t.query_readonly('select 1')\n"
        "except Exception as exc: print(exc)\n"
    )
    return _leak(done) + python(root, body, lambda _r, _s, said: _leak(said))


@probe("masks", "a hook's words")
def _hook_words(root: Path) -> str:
    desk = with_git(root)
    text = "\n".join(_FORMS.values())
    desk.write(".git/hooks/words", text)
    hook = desk.write(".git/hooks/pre-commit", "#!/bin/sh\ncat .git/hooks/words; exit 1\n")
    hook.chmod(0o755)
    return _leak(desk.call("run", "WO-1").stdout + desk.call("run", "WO-1", "--json").stdout)


# -- code that is planted for git ------------------------------------------------------------------

_HOOKS = (
    "pre-commit", "post-commit", "commit-msg", "prepare-commit-msg", "post-checkout", "post-merge",
    "reference-transaction", "post-index-change", "fsmonitor-watchman",
)  # fmt: skip
_SETTINGS_OF_GIT = {
    "core.fsmonitor": "{tool}",
    "core.sshCommand": "{tool}",
    "core.pager": "{tool}",
    "core.editor": "{tool}",
    "diff.external": "{tool}",
    "diff.evil.textconv": "{tool}",
    "diff.evil.command": "{tool}",
    "filter.evil.clean": "{tool}",
    "filter.evil.process": "{tool}",
    "alias.commit": "!{tool}",
    "alias.status": "!{tool}",
    "credential.helper": "!{tool}",
}
_PLANT = """
home = pathlib.Path(job["home"]); git = home / ".git"
def tool(name, folder="hooks"):
    file = git / folder / name; file.parent.mkdir(exist_ok=True)
    file.write_text("#!/bin/sh\\n(echo RAN %s; env) >> %s\\ncat\\n" % (name, {place!r})); file.chmod(0o755)
    return str(file)
def set(key, value): subprocess.run(["git", "config", key, value], cwd=home)
(git / "info").mkdir(exist_ok=True)
(git / "info/attributes").write_text("* filter=evil diff=evil\\n")
"""
_DEEDS = {
    "hooks": f"for name in {_HOOKS!r}: tool(name)\n",
    "settings": f"for k, v in {_SETTINGS_OF_GIT!r}.items(): set(k, v.format(tool=tool(k, 'evil')))\n",
    "a folder of hooks": f"for name in {_HOOKS!r}: tool(name, 'evil')\nset('core.hooksPath', str(git / 'evil'))\n",
    "an included file": (
        "(git / 'more').write_text('[core]\\n\\tfsmonitor = %s\\n\\thooksPath = %s\\n' % (tool('included', 'evil'), git / 'evil'))\n"
        "tool('pre-commit', 'evil'); set('include.path', str(git / 'more'))\n"
    ),
    "signatures": "set('gpg.program', tool('gpg', 'evil')); set('commit.gpgSign', 'true')\n",
    "attributes of the workspace": (
        "(home / '.gitattributes').write_text('* filter=evil diff=evil\\n')\n"
        "set('filter.evil.clean', tool('clean', 'evil')); set('filter.evil.smudge', tool('smudge', 'evil'))\n"
    ),
}


def _planted(deed: str) -> Probe:
    def run(root: Path) -> str:
        place = root / "found-planted.txt"
        desk = with_git(root, _PLANT.format(place=str(place)) + deed + REPORT)
        desk.call("run", "WO-1")
        for words in (["doctor"], ["approve", "WO-1", "--accept-unproven"], ["run", "WO-1"]):
            desk.call(*words)
        if not place.exists():
            return ""
        text = place.read_text(errors="replace")
        ran = sorted({line[4:] for line in text.splitlines() if line.startswith("RAN ")})
        keys = [k for k, v in KEYS.items() if v in text]
        return f"ran {', '.join(ran)}" + (f" with {', '.join(keys)}" if keys else "")

    return run


for _name, _deed in _DEEDS.items():
    PROBES["git"][_name] = _planted(_deed)


@probe("git", "a hook of the team that was there before still runs")
def _team(root: Path) -> str:
    desk = with_git(root)
    place = root / "found-team.txt"
    hook = desk.write(".git/hooks/pre-commit", f"#!/bin/sh\ntouch {place}\n")
    hook.chmod(0o755)
    desk.call("run", "WO-1")
    return "" if place.exists() else "it was left out"


# -- odd files -------------------------------------------------------------------------------------


def _odd(kind: str, file: Path, elsewhere: Path) -> None:
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    elif os.path.lexists(file):
        file.unlink()
    file.parent.mkdir(parents=True, exist_ok=True)
    match kind:
        case "fifo":
            os.mkfifo(file)
        case "folder":
            file.mkdir()
        case "socket":
            with socket.socket(socket.AF_UNIX) as made:
                here = Path.cwd()
                os.chdir(file.parent)
                made.bind(file.name)
                os.chdir(here)
        case "device":
            os.mknod(file, 0o666 | 0o020000, os.makedev(1, 5))
        case "link to a device":
            file.symlink_to("/dev/zero")
        case "link elsewhere":
            elsewhere.mkdir(parents=True, exist_ok=True)
            file.symlink_to(elsewhere)


_ODD = ("fifo", "folder", "socket", "device", "link to a device")
_PLACES = {
    "orchestrate.toml": "orchestrate.toml",
    "the workflow": "workflows/hostile.md",
    "a ticket": "_WORK_ORDERS/03_BUILD/WO-2_Odd.md",
    "the facts": "facts/odd.toml",
    "the receipts": "_WORK_ORDERS/.receipts/WO-1.jsonl",
    "a check": "checks/odd.py",
    "a deliverable": "out.txt",
    ".env": ".env",
    "pyproject.toml": "pyproject.toml",
    "package.json": "package.json",
    ".gitignore": ".gitignore",
}


def _refused(place: str, kind: str) -> Probe:
    def run(root: Path) -> str:
        desk = Desk(root / "work", done="`out.txt` exists and is not empty.")
        _odd(kind, desk.root / place, root / "elsewhere")
        wrong = []
        for words in (["doctor"], ["run", "WO-1"]):
            said = desk.call(*words, patience=20)
            if said.returncode < 0:
                wrong.append(f"{words[0]} hangs")
            if desk.memory > MEMORY:
                wrong.append(f"{words[0]} takes {desk.memory} MB")
            if "Traceback" in said.stdout or "error[unexpected]" in said.stdout:
                wrong.append(f"{words[0]}: {said.stdout.strip()[-200:]}")
        return "; ".join(dict.fromkeys(wrong))

    return run


for _where, _path in _PLACES.items():
    for _kind in _ODD if _where in ("orchestrate.toml", "the workflow") else ("fifo", "folder"):
        PROBES["files"][f"{_where}: {_kind}"] = _refused(_path, _kind)


def _linked(place: str) -> Probe:
    def run(root: Path) -> str:
        desk, elsewhere = Desk(root / "work"), root / "elsewhere"
        _odd("link elsewhere", desk.root / place, elsewhere)
        said = desk.call("run", "WO-1", patience=20).stdout
        said += desk.call("doctor", patience=20).stdout
        written = [f.name for f in elsewhere.rglob("*") if f.is_file()]
        if written:
            return f"written through it: {', '.join(written[:3])}"
        return "" if "link" in said else f"no message: {said[-200:]}"

    return run


for _path in (
    "_WORK_ORDERS/.receipts",
    ".orchestrate",
    ".orchestrate/state",
    "_WORK_ORDERS",
    "_WORK_ORDERS/03_BUILD/WO-1_Hostile.md",
    "_WORK_ORDERS/04_QA",
):
    PROBES["files"][f"{_path}: link elsewhere"] = _linked(_path)


@probe("files", "checks/*.py: link elsewhere")
def _linked_check(root: Path) -> str:
    desk = Desk(root / "work", done="the moon is green")
    code = (
        "from orchestrator.gates.checks import check, proven\n"
        "@check('the moon is green')\ndef moon(ctx):\n    return proven('yes')\n"
    )
    (root / "evil.py").write_text(code)
    (desk.root / "checks").mkdir()
    (desk.root / "checks/moon.py").symlink_to(root / "evil.py")
    said = desk.call("run", "WO-1", patience=30).stdout + desk.call("doctor").stdout
    if "✓ the moon" in said:
        return "it proved something"
    return "" if "link" in said else f"no message: {said[-300:]}"


# -- characters that steer or hide -----------------------------------------------------------------

_STEERING = {
    "escape": "\x1b[31mred\x1b]0;title\x07",
    "C1": "\x9b31mred\x85",
    "bidirectional": "a\u202eb\u2066c\u200f",
    "zero width": "a\u200bb\u2060c\ufeffd",
    "tags": "a\U000e0041\U000e0042",
    "line separators": "a\u2028b\u2029c",
    "backspace": "bad\x08\x08\x08good",
    "soft hyphen, fillers": "a\u00adb\u3164c\u115fd\u180e",
}
_STEERS = {c for text in _STEERING.values() for c in text if not c.isascii() or ord(c) < 32}


def _steers(text: str) -> str:
    found = sorted({f"U+{ord(c):04X}" for c in text if c in _STEERS})
    return " ".join(found)


def _visible(name: str, lay: Callable[[Desk, str], None]) -> Probe:
    def run(root: Path) -> str:
        desk = Desk(root)
        lay(desk, "".join(_STEERING.values()))
        shown = desk.call("run", "WO-1").stdout + desk.call("run", "WO-1", "--json").stdout
        shown += desk.shown()
        return _steers(
            shown + (desk.kept("_WORK_ORDERS") if name in ("a section", "a reason") else "")
        )

    return run


def _say(key: str, outcome: str) -> Callable[[Desk, str], None]:
    def lay(desk: Desk, text: str) -> None:
        said = {"outcome": outcome, key: f"x {text} y"}
        desk.agent.write_text(f"import json, sys\nsys.stdin.read()\nprint(json.dumps({said!r}))\n")

    return lay


def _name(desk: Desk, text: str) -> None:
    name = f"out-{text.replace('/', '')}.txt"
    code = f"open(os.path.join(job['workspace'], {name!r}), 'w').write('x')\n"
    desk.agent.write_text(BEGIN + code + REPORT)


def _title(desk: Desk, text: str) -> None:
    quoted = json.dumps(f"Title {text}")
    body = TICKET.replace('"Hostile"', quoted) + f"\n- [ ] `a{text}` exists\n"
    desk.write("_WORK_ORDERS/03_BUILD/WO-1_Hostile.md", body)
    desk.write(
        f"_WORK_ORDERS/03_BUILD/WO-3_{text.replace('/', '')}.md", TICKET.replace("WO-1", "WO-3")
    )


for _what, _lay in {
    "a section": _say("section", "done"),
    "a reason": _say("reason", "needs_person"),
    "a file's name": _name,
    "a ticket": _title,
}.items():
    PROBES["characters"][_what] = _visible(_what, _lay)
