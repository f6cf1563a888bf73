"""Answers that have to be signed with an SSH key (`[approval] signed`, DESIGN 12.4).

The signature is made and checked by `ssh-keygen -Y`, so that agents, hardware keys and the
`allowed_signers` files that git uses work too.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from orchestrator.domain.answer import Answer, AnswerVerb
from orchestrator.errors import OrchestrateError, UsageError
from orchestrator.errors.masking import without_keys
from orchestrator.family.session import Session
from orchestrator.git.command import GitError, run_git
from orchestrator.settings.board import FILE
from orchestrator.storage.history import canonical

NAMESPACE = "orchestrate"
#: names the key that signs, besides git's `user.signingKey`
VARIABLE = "ORCHESTRATE_SIGNING_KEY"
_USUAL = ("id_ed25519_sk", "id_ecdsa_sk", "id_ed25519", "id_ecdsa", "id_rsa")
#: seconds; a hardware key waits for a touch
_TIMEOUT = 120.0


class SignatureError(OrchestrateError):
    """An answer has no signature that counts, or it cannot be made."""

    code = "not-signed"


def message_of(ticket: str, digest: str, answer: Answer) -> bytes:
    """What is signed: the question's digest, and all of the answer that decides something."""
    said = {
        "ticket": ticket,
        "question": digest,
        "answer": answer.verb.value,
        "accept": sorted(answer.accept),
        "accept_unproven": answer.accept_unproven,
        "target": answer.target,
    }
    return canonical(said) + b"\n"


def sign(message: bytes, root: Path) -> str:
    """The signature of a message by the user's own key. Raises SignatureError."""
    key = _own_key(root)
    words = ("-Y", "sign", "-q", "-n", NAMESPACE, "-f", str(key))
    done = _ssh_keygen(words, message)
    if done.returncode:
        raise SignatureError(
            f"{key} does not sign: {_last_line(done.stderr)}",
            hint=f"name another key in {VARIABLE}, or add it to ssh-agent (ssh-add)",
        )
    return done.stdout.decode("ascii")


def _own_key(root: Path) -> Path:
    """The key that signs: named in the environment, to git, or the usual one."""
    named = os.environ.get(VARIABLE, "")
    if not named:
        try:
            if run_git(root, "config", "gpg.format").strip() == b"ssh":
                named = run_git(root, "config", "user.signingKey").decode().strip()
        except (GitError, UnicodeDecodeError):
            named = ""
    found = [Path(named).expanduser()] if named else []
    found += [Path.home() / ".ssh" / name for name in _USUAL if not named]
    for key in found:
        if key.is_file():
            return key
    raise SignatureError(
        f"answers here have to be signed, and there is no key {named or '~/.ssh/id_ed25519'}",
        hint=f"ssh-keygen -t ed25519, or name one in {VARIABLE}; its public half belongs in the "
        "file that `[approval] signers` names",
    )


def require_signature(session: Session, answer: Answer, digest: str) -> str:
    """Who signed an approval; "" where none has to be signed. Raises SignatureError."""
    settings = session.settings.approval
    if not settings.signed or answer.verb is not AnswerVerb.APPROVED:
        return ""
    parent, root = session.plan.parent, session.board.root
    if not answer.signature:
        raise SignatureError(
            f"an approval of {parent} has to be signed",
            hint=f"orchestrate approve {parent} signs it with your SSH key",
        )
    if session.root == root:
        changed = session.changes.changed_paths() or frozenset()
        for path in (settings.signers, FILE):
            if path in changed:
                raise SignatureError(
                    f"{path} was changed by this family, and says whose signature counts",
                    path=root / path,
                    hint="put it back as it was before the family began",
                )
    return signer_of(message_of(parent, digest, answer), answer.signature, root / settings.signers)


def signer_of(message: bytes, signature: str, signers: Path) -> str:
    """The name under which a list of signers has the key. Raises SignatureError."""
    if not signers.is_file():
        raise SignatureError(
            "there is no list of those whose signature counts",
            path=signers,
            hint='a line for each: ana@example.com namespaces="orchestrate" ssh-ed25519 AAAA…',
        )
    with tempfile.TemporaryDirectory(prefix="orchestrate-") as folder:
        file = Path(folder) / "signature"
        file.write_text(signature, encoding="ascii", errors="replace")
        found = _ssh_keygen(("-Y", "find-principals", "-s", str(file), "-f", str(signers)), b"")
        names = found.stdout.decode("utf-8", "replace").splitlines()
        for name in names if found.returncode == 0 else ():
            words = (
                "-Y",
                "verify",
                "-f",
                str(signers),
                "-I",
                name,
                "-n",
                NAMESPACE,
                "-s",
                str(file),
            )
            if _ssh_keygen(words, message).returncode == 0:
                return name
    why = "by a key that is not listed" if not names else "for another question or answer"
    raise SignatureError(
        f"the signature does not count: it was made {why}",
        path=signers,
        hint="add the key to the list, or sign this question: orchestrate approve",
    )


def _ssh_keygen(words: tuple[str, ...], message: bytes) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["ssh-keygen", *words],
            input=message,
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
            env=without_keys(os.environ),
        )
    except FileNotFoundError as exc:
        raise UsageError("ssh-keygen is missing", hint="install OpenSSH 8.2 or newer") from exc
    except subprocess.TimeoutExpired as exc:
        raise SignatureError(
            "ssh-keygen did not answer", hint="touch the key, or unlock it"
        ) from exc


def _last_line(output: bytes) -> str:
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "no reason given"
