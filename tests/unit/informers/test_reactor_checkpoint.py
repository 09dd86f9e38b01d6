"""A reactor's checkpoint: when it is open, what is loaded from it, and for whom."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from flamepy.errors import InvalidStateError
from flamepy.informers.arguments import StateFile
from flamepy.informers.delivery.registration import Hooks, Registration
from flamepy.informers.options import Options
from flamepy.informers.reactor_checkpoint import ReactorCheckpoint
from flamepy.testing import RecordingInformer
from flamepy.watching.state.subscriptions import Scope


def ignore(_: object) -> None:
    pass


def registered(*, uid: str | None = None, resume: bool | None = None) -> Registration:
    hooks = Hooks(ignore, ignore, ignore, ignore, remembers=True)
    options = Options(uid=uid, resume=resume)
    return Registration(RecordingInformer(), Scope(), options, hooks=hooks)


def test_what_was_registered_before_it_is_open_is_loaded_when_it_opens(tmp_path: Path) -> None:
    resuming = ReactorCheckpoint(StateFile(tmp_path / "state.db", True, True), retain=10)
    early, late = registered(uid="early"), registered(uid="late")
    resuming.prepare(early)
    assert not early.is_prepared, "there is nothing to load from yet"
    resuming.open([early])
    resuming.prepare(late)
    assert early.memory is not None
    assert late.memory is not None
    assert early.is_prepared
    assert late.is_prepared
    resuming.close()


def test_a_registration_is_loaded_once(tmp_path: Path) -> None:
    resuming = ReactorCheckpoint(StateFile(tmp_path / "state.db", True, True), retain=10)
    one = registered(uid="one")
    resuming.open([one])
    memory = one.memory
    resuming.prepare(one)
    assert one.memory is memory
    resuming.close()


@pytest.mark.parametrize(("resume", "warned"), [(None, True), (False, False)])
def test_one_without_a_uid_is_not_remembered_and_is_told_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, resume: bool | None, warned: bool
) -> None:
    resuming = ReactorCheckpoint(StateFile(tmp_path / "state.db", True, True), retain=10)
    one = registered(resume=resume)
    with caplog.at_level(logging.WARNING):
        resuming.open([one])
    assert (one.memory, one.is_prepared) == (None, True)
    assert any("has no uid" in message for message in caplog.messages) is warned
    resuming.close()


def test_without_a_file_there_is_nothing_to_remember() -> None:
    resuming = ReactorCheckpoint(StateFile(None, False, False), retain=10)
    resuming.open([registered(uid="one")])
    assert (resuming.remembers, resuming.works) == (False, None)
    resuming.close()


def test_one_reactor_has_the_file_until_it_closes(tmp_path: Path) -> None:
    first, second = (
        ReactorCheckpoint(StateFile(tmp_path / "state.db", True, True), retain=10) for _ in range(2)
    )
    first.open([])
    assert first.works
    with pytest.raises(InvalidStateError):
        second.open([])
    second.close()
    first.close()
    third = ReactorCheckpoint(StateFile(tmp_path / "state.db", True, True), retain=10)
    third.open([])
    third.close()
