"""How the embedded cluster says no: a gRPC code by name and the engine's own text. Pure."""

from __future__ import annotations


class Refusal(Exception):
    """A request that the engine refuses.

    Attributes:
        code: name of the gRPC status (``"NOT_FOUND"``).
        message: the engine's text, to the letter (docs/protocol.md#errors).
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


class ResultRefusal(Refusal):
    """A refusal that travels as return code -1 inside OK, as three application calls do."""

    def __init__(self, message: str) -> None:
        super().__init__("OK", message)


class StorageRefusal(Refusal):
    """A change that could not be written down, and so was not made."""

    def __init__(self, message: str) -> None:
        super().__init__("INTERNAL", message)
