"""Informers against an engine: what any client does reaches every informer."""

from __future__ import annotations

import concurrent.futures

from contract.conftest import Target

from flamepy.core import connect
from flamepy.informers import Reactor
from flamepy.testing import RecordingInformer


def test_tasks_of_other_clients_are_told_with_outcome(target: Target, application: str) -> None:
    early = target.connection.create_session(application)
    early.invoke(b"echo before", timeout=60)
    informer = RecordingInformer()
    with Reactor(endpoint=target.endpoint) as reactor, connect(target.endpoint) as other:
        reactor.register(informer, application=application).wait_synced(60)
        assert [event.initial for event in informer.events] == [True]
        late = other.create_session(application)
        futures = [session.run(b"echo x") for session in (early, late) for _ in range(5)]
        futures.append(late.run(b"fail no way"))
        concurrent.futures.wait(futures, timeout=60)
        informer.wait_for(lambda seen: len(seen.terminal()) == 12, 60)
    told = informer.terminal()
    assert len(set(told)) == 12
    failed = [event for event in informer.events if event.task.state.name == "FAILED"]
    assert [event.task.error for event in failed] == ["no way"]
    assert {event.application for event in informer.events} == {application}
