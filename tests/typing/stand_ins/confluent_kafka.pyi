# What docs/plugins.md uses of a library that is not installed here; its names are the library's.
from collections.abc import Callable, Mapping

class KafkaError:
    def name(self) -> str: ...
    def str(self) -> str: ...

class Message: ...

class Producer:
    def __init__(self, config: Mapping[str, object]) -> None: ...
    def produce(
        self,
        topic: str,
        value: bytes | None = ...,
        key: bytes | None = ...,
        partition: int = ...,
        on_delivery: Callable[[KafkaError | None, Message], None] | None = ...,
        timestamp: int = ...,
        headers: Mapping[str, str] | None = ...,
    ) -> None: ...
    def flush(self, timeout: float = ...) -> int: ...
