"""Whether a family's receipts are those that the conductor wrote (DESIGN 12.3)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from orchestrator.storage import signing
from orchestrator.storage.history import Damage, History, Record, has_signature

ALTERED = "history-altered"


def find_damage(
    history: History,
    record: Mapping[str, Any] | None,
    keys: Collection[str] = (),
    is_signed: Callable[[Record], bool] = has_signature,
) -> Damage | None:
    """What is wrong with the receipts, None if nothing is.

    `record`: the ticket's `flow:` block, which names what the history held. `keys`: public keys
    whose signatures count besides the user's own; if there are any, a signature is required.
    `is_signed`: whether a record bears the signature of the key that it names.
    """
    found = history.damage()
    if found is not None or not record:
        return found
    why = _find_mismatch(history, record) or _find_forged_signature(history, keys, is_signed)
    return Damage(history.path, 0, ALTERED, why) if why else None


def _find_mismatch(history: History, record: Mapping[str, Any]) -> str:
    """Why the history is not the one that the ticket's record was made from."""
    revision, digest = record.get("revision", 0), record.get("history", "")
    transitions = list(history.of("transition"))
    if not digest or not isinstance(revision, int):
        return ""
    same = [t for t in transitions if t["revision"] == revision]
    if not same and not any(t["revision"] > revision for t in transitions):
        return f"they lack the step to revision {revision}, which the ticket has reached"
    if same and all(t.get("prev") != digest for t in same):
        return f"what stood before revision {revision} is not what the ticket names"
    return ""


def _find_forged_signature(
    history: History, keys: Collection[str], is_signed: Callable[[Record], bool]
) -> str:
    """Why the newest transition is not signed as it has to be; it covers all lines before."""
    last = history.latest("transition")
    if last is None:
        return ""
    key = str(last.get("key", ""))
    if key and not is_signed(last):
        return f"the signature of revision {last['revision']} does not fit"
    if keys and key not in {*keys, signing.own_key()}:
        whose = "is signed with a key that `[trust] keys` does not name" if key else "is not signed"
        return f"revision {last['revision']} {whose}"
    return ""
