"""``outbox_of``: the outbox of a sink's registration."""

from __future__ import annotations

from flamepy.informers.dead_letters.letter import DeadLetter
from flamepy.informers.delivery.invocation import Failure
from flamepy.informers.delivery.registration import Registration
from flamepy.informers.outbox.entry import OutboxEntry, Outcome
from flamepy.informers.outbox.settlement import CALLBACK
from flamepy.informers.outbox.sink import Sink
from flamepy.informers.senders.mailroom import Database, Mailroom
from flamepy.informers.senders.memory_file import MemoryFile
from flamepy.informers.senders.outbox import Outbox


def outbox_of(registration: Registration, file: Database | None) -> Outbox:
    """Return the outbox of a registered sink; its threads run if something waits already.

    Args:
        registration: of a ``Sink``.
        file: where its events are stored; None keeps them in memory.
    """
    sink = registration.informer
    assert isinstance(sink, Sink)

    def buried(entry: OutboxEntry, outcome: Outcome, letter: DeadLetter) -> None:
        error = outcome.error
        failure = Failure(
            registration.name,
            CALLBACK,
            entry.event,
            error if isinstance(error, BaseException) else RuntimeError(outcome.text),
            letter.attempts,
        )
        registration.buried(failure, [letter], keep=file is None)

    memory = MemoryFile()
    mailroom = Mailroom(
        registration.name,
        registration.stored_name,
        sink.outbox_options,
        whole=sink.whole_batches,
        database=memory if file is None else file,
        keeps_dead=file is not None and registration.keeps_dead,
        log=registration.log,
    )
    outbox = Outbox(
        registration.name,
        sink,
        mailroom,
        buried=buried,
        log=registration.log,
        given=registration.given_loop,
        ended=memory.close,
    )
    if file is not None and mailroom.look():
        outbox.ensure_threads()
    return outbox
