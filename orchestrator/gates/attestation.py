"""Receipts for others: in-toto statements in DSSE envelopes, verified offline with a public key.

https://github.com/in-toto/attestation (predicate `test-result`), https://github.com/secure-systems-lab/dsse
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.gates.checks import Verdict
from orchestrator.gates.receipts import Receipt
from orchestrator.storage import signing
from orchestrator.storage.atomic import sha256_bytes
from orchestrator.storage.history import canonical

_PAYLOAD = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
_RESULTS = {Verdict.PROVEN: "PASSED", Verdict.NOT_APPLICABLE: "PASSED", Verdict.FAILED: "FAILED"}
_LISTS = {"PASSED": "passedTests", "FAILED": "failedTests", "WARNED": "warnedTests"}


def attest(receipt: Receipt, history: str) -> dict[str, Any]:
    """A receipt as a signed envelope. `history`: digest of the history that holds it.

    Raises OrchestrateError (code `no-signing-key`) where there is no key.
    """
    key = signing.require_key()
    payload = canonical(_to_statement(receipt, history))
    signature = signing.sign(_encode(_PAYLOAD, payload))
    return {
        "payloadType": _PAYLOAD,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": key, "sig": signature}],
    }


def _to_statement(receipt: Receipt, history: str) -> dict[str, Any]:
    files = {path: sha for path, sha in receipt.subjects.items() if sha != "absent"}
    # a statement needs a subject: what names no file is about its own text
    named = files or {"statement": sha256_bytes(receipt.statement.text.encode())}
    predicate: dict[str, Any] = {
        "result": _RESULTS.get(receipt.verdict, "WARNED"),
        "configuration": [{"name": c.check_label} for c in receipt.claims if c.check],
        "receipt": {
            "id": receipt.id,
            "statement": receipt.statement.text,
            "ticket": receipt.statement.ticket,
            "source": receipt.statement.source,
            "verdict": receipt.verdict.value,
            "detail": receipt.detail,
            "stage": receipt.stage,
            "attempt": receipt.attempt,
            "at": receipt.at,
            "absent": sorted(set(receipt.subjects) - set(files)),
            "history": history,
        },
    }
    for claim in receipt.claims:
        result = _RESULTS.get(claim.result.verdict, "WARNED")
        predicate.setdefault(_LISTS[result], []).append(claim.claim)
    return {
        "_type": _STATEMENT,
        "subject": [{"name": n, "digest": {"sha256": sha}} for n, sha in sorted(named.items())],
        "predicateType": _PREDICATE,
        "predicate": predicate,
    }


def _encode(kind: str, payload: bytes) -> bytes:
    """What a signature is over (DSSE's pre-authentication encoding)."""
    name = kind.encode()
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(payload), payload)


@dataclass(frozen=True)
class Checked:
    """An envelope as it was found."""

    statement: str
    verdict: str
    #: path → sha256
    subjects: Mapping[str, str]
    #: the key that signed it, "" if no signature of a known key fits
    key: str
    #: why it is not accepted, "" if it is
    problem: str = ""


def check(line: str, keys: Collection[str]) -> Checked:
    """Read an envelope and verify it against the public keys that are trusted."""
    try:
        envelope = json.loads(line)
        kind, signatures = envelope["payloadType"], envelope["signatures"]
        payload = base64.b64decode(envelope["payload"], validate=True)
        read = json.loads(payload)
        subjects = {s["name"]: s["digest"]["sha256"] for s in read["subject"]}
        about = read["predicate"].get("receipt", {})
        result = str(about.get("verdict") or read["predicate"]["result"])
        found = [(str(s.get("keyid", "")), str(s["sig"])) for s in signatures]
        data = _encode(str(kind), payload)
    except (ValueError, KeyError, TypeError, AttributeError):
        return Checked("", "", {}, "", "this is not a signed receipt")
    text = str(about.get("statement", ""))
    for key in keys:
        if any(signing.is_signed(data, key, signature) for _, signature in found):
            return Checked(text, result, subjects, key)
    genuine = [k for k, s in found if signing.is_signed(data, k, s)]
    problem = f"signed with an unknown key: {genuine[0]}" if genuine else "the signature is wrong"
    return Checked(text, result, subjects, "", problem)
