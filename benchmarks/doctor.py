"""How long `doctor` takes: three sizes of a board cold and warm, 1,500 odd tickets mended twice."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from pathlib import Path

from _common import ROOT, at_sizes, checked, make_board, orchestrate, plain_read, report, seconds

SIZES, ODD = (1000, 3000, 10_000), 1_500
FIXTURES = ROOT / "tests" / "fixtures" / "odd_tickets"
_ID = re.compile(rb"\b(WO[-_])(B7|CALENDAR-EXPORT|\d{3})(?=\D|$)")


def main() -> None:
    """Measure and print."""
    figures, grown = at_sizes(measured, SIZES)
    ratios = {name: figures[f"{name}_s"] / figures["plain_read_s"] for name in ("cold", "warm")}
    with tempfile.TemporaryDirectory() as folder:
        odd = _committed(make_odd(Path(folder) / "odd", ODD))
        figures |= {"odd_tickets": ODD, "odd_s": seconds(lambda: _doctor(odd))}
        figures["odd_fix_s"] = seconds(lambda: _doctor(odd, "--fix", "--json"))
        again = json.loads(_doctor(odd, "--fix", "--json"))
        figures["second_fix_finds"] = sum(f["repair"] == "certain" for f in again["findings"])
        figures["second_fix_changes"] = len(again["diff"])
    targets = {"cold_s": 6.0, "warm_s": 1.5, "odd_fix_s": 60.0, "second_fix_finds": 1}
    report("doctor", {**figures, **grown}, targets, ratios)


def measured(size: int) -> dict[str, float]:
    """The figures of a board with that many tickets (s)."""
    with tempfile.TemporaryDirectory() as folder:
        plain = _committed(make_board(Path(folder), size))
        cold = seconds(lambda: _doctor(plain))
        # a file that was written just now is not believed by its times yet
        time.sleep(0.1)
        _doctor(plain)
        warm = seconds(lambda: _doctor(plain), 3)
        return {"plain_read_s": plain_read(plain), "cold_s": cold, "warm_s": warm}


def _doctor(root: Path, *words: str) -> str:
    return checked(orchestrate(root, "doctor", *words), (0, 1))


def _committed(root: Path) -> Path:
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "board"]):
        identity = ["-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost"]
        subprocess.run(["git", *identity, *words], cwd=root, check=True)
    return root


def make_odd(root: Path, size: int) -> Path:
    """A board of `size` odd tickets: the fixtures again and again, each time with new numbers."""
    places = json.loads((FIXTURES / "expectations.json").read_text(encoding="utf-8"))
    made, turn = 0, 0
    while made < size:
        for name, expected in places.items():
            if made < size and "TEMPLATES" not in expected["place_as"]:
                place = _renumbered(expected["place_as"].encode(), turn).decode()
                path = root / "_WORK_ORDERS" / place
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(_renumbered((FIXTURES / name).read_bytes(), turn))
                made += 1
        turn += 1
    return root


def _renumbered(data: bytes, turn: int) -> bytes:
    def number(found: re.Match[bytes]) -> bytes:
        name = found[2]
        if name.isdigit():
            return b"%s%d" % (found[1], int(name) + 1000 * turn)
        return (
            b"%sB%d" % (found[1], 1000 + turn)
            if name == b"B7"
            else b"%s%s-%d" % (*found.groups(), turn)
        )

    return _ID.sub(number, data) if turn else data


if __name__ == "__main__":
    main()
