"""The sink for Kafka in docs/plugins.md, with a stand-in of confluent_kafka."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from flamepy.informers import EventKind, OutboxEntry, Sink, TaskEvent
from flamepy.types import Task, TaskState

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()
AT = datetime(2026, 1, 1, tzinfo=timezone.utc)


class KafkaError:
    def __init__(self, name: str) -> None:
        self._name = name

    def name(self) -> str:
        return self._name

    def str(self) -> str:
        return f"the broker said {self._name}"


class Producer:
    """Acknowledges at a flush what ``answers`` says; a key that it does not have gets no answer."""

    answers: dict[str, KafkaError | None]

    def __init__(self, settings: dict[str, object]) -> None:
        assert settings["enable.idempotence"] is True
        self.produced: list[tuple[str, bytes, dict[str, str], Callable[..., None]]] = []
        self.keys: list[bytes] = []

    def produce(
        self, topic: str, value: bytes, *, key: bytes, headers: Any, on_delivery: Any
    ) -> None:
        self.produced.append((topic, value, headers, on_delivery))
        self.keys.append(key)

    def flush(self, timeout: float) -> int:
        for _, _, headers, on_delivery in self.produced:
            if headers["id"] in self.answers:
                on_delivery(self.answers[headers["id"]], None)
        return 0


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> type[Sink]:
    module = ModuleType("confluent_kafka")
    vars(module).update(Producer=Producer)
    monkeypatch.setitem(sys.modules, "confluent_kafka", module)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (block,) = [one for one in blocks if "class Kafka" in one]
    names: dict[str, Any] = {"__name__": "kafka_sink"}
    exec(compile(block, "docs/plugins.md", "exec"), names)
    made: type[Sink] = names["Kafka"]
    return made


def entry(number: int) -> OutboxEntry:
    task = Task(str(number), "s", TaskState.SUCCEED, AT)
    event = TaskEvent(kind=EventKind.UPDATED, task=task, application="app")
    return OutboxEntry(id=number, key=event.key, event=event, created=AT)


def test_each_entry_gets_the_answer_of_its_own_message(kafka: type[Any]) -> None:
    batch = [entry(number) for number in range(1, 5)]
    Producer.answers = {
        batch[0].key: None,
        batch[1].key: KafkaError("_TIMED_OUT"),
        batch[2].key: KafkaError("MSG_SIZE_TOO_LARGE"),
    }
    sink = kafka(servers="localhost:9092", topic="flame")
    sink.open()
    outcomes = sink.send(batch)
    assert [(one.kind.value, one.text) for one in outcomes] == [
        ("sent", ""),
        ("retry", "the broker said _TIMED_OUT"),
        ("refused", "the broker said MSG_SIZE_TOO_LARGE"),
        ("retry", "no answer within 30 s"),
    ]
    topic, _, headers, _ = sink._producer.produced[0]
    assert (topic, sink._producer.keys[0], headers) == ("flame", b"s", {"id": batch[0].key})
