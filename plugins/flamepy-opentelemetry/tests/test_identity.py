"""Ids are the same in every process, and different for everything that is not the same task."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timedelta, timezone

from flamepy_opentelemetry import TaskTrace

BORN = datetime(2026, 1, 1, 12, 0, 0, 500_000, tzinfo=timezone.utc)
TASKS = 10_000
PROGRAM = """
import json
from datetime import datetime, timedelta, timezone
from flamepy_opentelemetry import TaskTrace
born = datetime(2026, 1, 1, 12, 0, 0, 500_000, tzinfo=timezone.utc)
print(json.dumps([
    (one.trace_id, one.span_id("running"))
    for one in (TaskTrace.of("http://flame:8080", f"s{number % 7}", str(number),
                born + timedelta(milliseconds=number)) for number in range(TASKS))
]))
"""


def test_ten_thousand_tasks_have_the_same_ids_in_two_processes_and_after_a_restart() -> None:
    lists = []
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM.replace("TASKS", str(TASKS))],
            capture_output=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        )
        lists.append([tuple(one) for one in json.loads(done.stdout)])
    here = [
        (one.trace_id, one.span_id("running"))
        for one in (
            TaskTrace.of(
                "http://flame:8080",
                f"s{number % 7}",
                str(number),
                BORN + timedelta(milliseconds=number),
            )
            for number in range(TASKS)
        )
    ]
    assert lists == [here, here]
    assert len({trace for trace, _ in here}) == len({span for _, span in here}) == TASKS


def test_they_are_what_they_were_in_the_last_release() -> None:
    made = TaskTrace.of("http://flame:8080", "s", "1", BORN)
    assert f"{made.trace_id:032x}" == "9e72f1c0dac3dab020bc8b0b126e4b9f"
    assert f"{made.span_id('task'):016x}" == "82624b95bed0f03a"


def test_each_part_counts() -> None:
    made = TaskTrace.of("http://flame:8080", "s", "1", BORN)
    later = BORN + timedelta(milliseconds=1)
    others = [
        TaskTrace.of("http://flame:8081", "s", "1", BORN),
        TaskTrace.of("http://flame:8080", "s2", "1", BORN),
        TaskTrace.of("http://flame:8080", "s", "2", BORN),
        TaskTrace.of("http://flame:8080", "s", "1", later),
        TaskTrace.of("http://flame:8080", 's","1', "", BORN),
    ]
    assert len({made, *others}) == len(others) + 1
    names = ("task", "submit", "queued", "running", "running#1")
    assert len({made.span_id(name) for name in names}) == len(names)


def test_what_does_not_change_the_engine_does_not_change_them() -> None:
    made = TaskTrace.of("http://flame:8080", "s", "1", BORN)
    zone = timezone(timedelta(hours=2))
    assert TaskTrace.of("https://FLAME:8080/", "s", "1", BORN) == made
    assert TaskTrace.of("flame:8080", "s", "1", BORN.astimezone(zone)) == made
    assert TaskTrace.of("flame:8080", "s", "1", BORN + timedelta(microseconds=900)) == made
