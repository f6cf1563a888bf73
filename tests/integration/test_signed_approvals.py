"""Approvals that count only with an SSH signature, made and checked by the real ssh-keygen."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.approvals.signatures import (
    NAMESPACE,
    VARIABLE,
    SignatureError,
    message_of,
    signer_of,
)
from orchestrator.domain.answer import Answer, AnswerVerb
from orchestrator.settings.config import Settings
from orchestrator.settings.tables import ApprovalSettings
from orchestrator.storage.history import History
from tests.boards import Workspace

pytestmark = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="needs ssh-keygen")
SIGNED = Settings(approval=ApprovalSettings(signed=True))


def make_key(folder: Path, name: str) -> Path:
    key = folder / name
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key)], check=True
    )
    return key


def listed(who: str, key: Path, options: str = f'namespaces="{NAMESPACE}"') -> str:
    return f"{who} {options} {key.with_suffix('.pub').read_text(encoding='ascii')}"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    (tmp_path / "board").mkdir()
    work = Workspace(tmp_path / "board")
    key = make_key(tmp_path, "ana")
    (work.root / "allowed_signers").write_text(listed("ana@example.com", key), encoding="utf-8")
    monkeypatch.setenv(VARIABLE, str(key))
    work.conductor(settings=SIGNED).run("WO-512")
    return work


def test_approve_signs_and_the_record_holds_who(work: Workspace) -> None:
    work.conductor(settings=SIGNED).approve("WO-512")
    record = History(work.root / "_WORK_ORDERS", "WO-512").latest("answer")
    assert record is not None
    assert record["by"] == "ana@example.com"
    assert record["signature"].startswith("-----BEGIN SSH SIGNATURE-----")
    assert work.conductor(settings=SIGNED).run("WO-512").stage == 7


def test_a_status_in_the_file_says_what_is_missing(work: Workspace) -> None:
    work.edit("WO-512", "status: 05_USER_REVIEW", "status: APPROVED")
    outcome = work.conductor(settings=SIGNED).run("WO-512")
    assert outcome.outcome == "waiting"
    assert "an approval of WO-512 has to be signed" in outcome.reasons[0]
    assert "orchestrate approve WO-512" in outcome.reasons[1]
    assert work.builder.jobs == []


def test_a_key_that_is_not_listed_approves_nothing(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(make_key(work.root.parent, "eve")))
    with pytest.raises(SignatureError, match="by a key that is not listed"):
        work.conductor(settings=SIGNED).approve("WO-512")
    assert work.conductor(settings=SIGNED).run("WO-512").stage == 3


def test_without_a_key_it_says_how_to_get_one(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(work.root / "missing"))
    with pytest.raises(SignatureError, match="there is no key") as caught:
        work.conductor(settings=SIGNED).approve("WO-512")
    assert caught.value.hint is not None
    assert "ssh-keygen -t ed25519" in caught.value.hint


def test_a_signature_counts_for_one_question_and_answer_only(tmp_path: Path) -> None:
    key = make_key(tmp_path, "ana")
    signers = tmp_path / "signers"
    signers.write_text(listed("ana", key), encoding="utf-8")
    yes = Answer(AnswerVerb.APPROVED)
    message = message_of("WO-1", "d" * 64, yes)
    words = ["ssh-keygen", "-Y", "sign", "-q", "-n", NAMESPACE, "-f", str(key)]
    signature = subprocess.run(
        words, input=message, capture_output=True, check=True
    ).stdout.decode()
    assert signer_of(message, signature, signers) == "ana"
    more = Answer(AnswerVerb.APPROVED, accept_unproven=True)
    for other in (
        message_of("WO-2", "d" * 64, yes),
        message_of("WO-1", "e" * 64, yes),
        message_of("WO-1", "d" * 64, more),
    ):
        with pytest.raises(SignatureError, match="another question or answer"):
            signer_of(other, signature, signers)
    words[words.index(NAMESPACE)] = "git"
    signature = subprocess.run(
        words, input=message, capture_output=True, check=True
    ).stdout.decode()
    with pytest.raises(SignatureError):
        signer_of(message, signature, signers)
    with pytest.raises(SignatureError):
        signer_of(message, "no signature", signers)


def test_an_agent_that_lists_its_own_key_gains_nothing(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.conductor(settings=SIGNED).approve("WO-512")
    eve = make_key(work.root.parent, "eve")
    signers = work.root / "allowed_signers"
    written = work.builder.work

    def work_and_list(job: object) -> object:
        signers.write_text(listed("eve", eve), encoding="utf-8")
        return written(job)  # type: ignore[arg-type]

    monkeypatch.setattr(work.builder, "work", work_and_list)
    monkeypatch.setenv(VARIABLE, str(eve))
    work.conductor(settings=SIGNED).run("WO-512")
    with pytest.raises(SignatureError, match="was changed by this family"):
        work.conductor(settings=SIGNED).approve("WO-512")


def test_the_web_board_shows_what_to_sign_and_takes_the_signature(work: Workspace) -> None:
    from html import unescape

    from tests.web import Browser

    browser = Browser(work, SIGNED).sign_in()
    browser.site.conductor = lambda: work.conductor(settings=SIGNED)  # type: ignore[method-assign]
    assert "Approve and sign" in browser.get("/")
    shown = browser.answer(verb="approved", words="well done")
    commands = re.findall(r'class="command">(.*?)</code>', shown.text)
    signing, other = map(unescape, commands)
    assert other == "orchestrate approve WO-512"
    # a shell gives it to ssh-keygen as it is shown
    signing = signing.replace("~/.ssh/id_ed25519", os.environ[VARIABLE])
    printed = subprocess.run(
        ["sh", "-c", signing], check=True, capture_output=True, text=True
    ).stdout
    form = browser.form("/family/WO-512/answer", shown.text)
    assert work.builder.jobs == []
    # for another answer it does not count
    wrong = browser.post(
        "/family/WO-512/answer", {**form, "accept_unproven": "1", "signature": printed}
    )
    assert (wrong.status_code, "another question or answer" in wrong.text) == (409, True)
    pasted = "  " + printed.replace("\n", "\r\n  ")
    taken = browser.post("/family/WO-512/answer", {**form, "signature": pasted})
    assert taken.status_code == 303
    record = History(work.root / "_WORK_ORDERS", "WO-512").latest("answer")
    assert record is not None
    assert (record["by"], record["via"], record["words"]) == ("ana@example.com", "web", "well done")
    browser.until(lambda: browser.site.live.refresh().question("WO-512"))
    browser.until(lambda: not browser.site.going_on.families)
    browser.close()
