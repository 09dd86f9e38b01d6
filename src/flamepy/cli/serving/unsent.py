"""Says which sinks are gone and left events in the file: nothing sends them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flamepy.errors import FlameError
from flamepy.host.paths import expanded
from flamepy.texts import repr_of

if TYPE_CHECKING:
    from flamepy.informers.delivery.registration import Registration

logger = logging.getLogger(__name__)


def warn_of_unsent(
    checkpoint: str | os.PathLike[str] | None, registrations: Iterable[Registration]
) -> None:
    """Warn of events that wait for sinks that are not registered.

    Args:
        checkpoint: the file of the reactor, open or not; None without one.
        registrations: of the reactor.
    """
    if checkpoint is None:
        return
    from flamepy.informers.checkpoint.file import SharedFile
    from flamepy.informers.outbox.box import OutboxFile

    try:
        counts = OutboxFile(SharedFile(expanded(checkpoint))).counts()
    except FlameError as error:
        logger.debug("what waits in %s could not be read: %s", checkpoint, error.message)
        return
    present = {one.stored_name for one in registrations}
    for sink in sorted(set(counts) - present):
        logger.warning(
            "%d events wait in the outbox of %s, which is not among the informers: they are sent "
            "when it is there again; flamepy outbox drop --sink %s deletes them",
            *(counts[sink], repr_of(sink), sink),
        )
