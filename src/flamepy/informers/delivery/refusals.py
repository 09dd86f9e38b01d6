"""What a registration refuses: options that would lose events, or could not be kept. Pure."""

from __future__ import annotations

from flamepy.errors import InvalidArgumentError
from flamepy.informers.delivery.callbacks import Callbacks
from flamepy.informers.informer import Informer
from flamepy.informers.options import Options
from flamepy.informers.outbox.sink import Sink


def check_sink(informer: Informer, options: Options, *, remembers: bool | None) -> None:
    """Refuse a sink that sends nothing, and a durable one whose events could not be stored.

    Args:
        informer: any.
        options: with which it is registered.
        remembers: whether the reactor has a checkpoint; None if that is not known yet.

    Raises:
        InvalidArgumentError: names the way out.
    """
    if not isinstance(informer, Sink):
        return
    name = type(informer).__name__
    if type(informer).send is Sink.send:
        raise InvalidArgumentError(
            f"{name} has no send(self, batch), so nothing would ever be sent: write it"
        )
    if not informer.durable:
        return
    instead = "or durable=False to the sink, if its events may be lost"
    if remembers is False:
        raise InvalidArgumentError(
            f"{name} stores the events that it is to send in a checkpoint, and this reactor has "
            "none: give Reactor(checkpoint='state.db'), or reactor: {checkpoint: state.db} in "
            f"flame.yaml, or --checkpoint to flamepy run, {instead}"
        )
    resumes = informer.resume if options.resume is None else options.resume
    if options.uid is None or not resumes:
        raise InvalidArgumentError(
            f"{name} stores the events that it is to send under its uid: register it with "
            f"uid='a-name' and without resume=False, {instead}"
        )


def check_batches(callbacks: Callbacks, options: Options) -> None:
    """Refuse several workers for batches that have no key in common.

    Raises:
        InvalidArgumentError: names the way out.
    """
    if callbacks.batches and options.workers > 1 and options.key is None:
        raise InvalidArgumentError(
            f"workers={options.workers} and on_batch need a key, such as key='session': each batch "
            "has events of one key then; without one there is one batch at a time, and workers=1"
        )
