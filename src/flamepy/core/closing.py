"""``ClosesAtExit``: the ``with`` of objects that have a session, and a ``close`` that may fail."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import TypeVar

from flamepy.errors import FlameError

C = TypeVar("C", bound="ClosesAtExit")


class ClosesAtExit(ABC):
    """``with`` closes it; the error of the block goes before one of the closing."""

    @abstractmethod
    def close(self) -> None:
        """Close it. Idempotent."""

    def __enter__(self: C) -> C:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except FlameError:
            if kind is None:
                raise
