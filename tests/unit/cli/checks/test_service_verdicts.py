"""What ``flamepy check-service`` makes of what it saw: pure, one observation each."""

from __future__ import annotations

import pytest

from flamepy.cli.checks import service_verdicts as verdicts
from flamepy.cli.checks.findings import Finding, Verdict
from flamepy.cli.checks.service_verdicts import End, Kind, Reply, Start

OK = Reply(Kind.ANSWER, output=3)
REFUSED = Reply(Kind.ANSWER, return_code=-1, message="no seat")
WORDLESS = Reply(Kind.ANSWER, return_code=-1)
STATUS = Reply(Kind.STATUS, status="INTERNAL", text="boom")
UNSERVED = Reply(Kind.STATUS, status="UNIMPLEMENTED", text="unknown method")
BROKEN = [
    Reply(Kind.GARBAGE, text="the answer is no TaskResult"),
    Reply(Kind.SILENCE, text="no answer within 1 s"),
    Reply(Kind.GONE, text="<x> exited with status 3"),
]
FAILED, WARNING = Verdict.FAILED, Verdict.WARNING


def enter(reply: Reply) -> Finding:
    return verdicts.enter("x", reply, given=False)


def bare(reply: Reply) -> Finding:
    return verdicts.bare_enter("x", reply)


def task(reply: Reply) -> Finding:
    return verdicts.task("x", reply)


def wanted(reply: Reply) -> Finding:
    return verdicts.task("x", reply, must_succeed=True)


def usual_size(reply: Reply) -> Finding:
    return verdicts.large("x", reply, size=4 << 20, required=True)


def huge(reply: Reply) -> Finding:
    return verdicts.large("x", reply, size=64 << 20, required=False)


def leave(reply: Reply) -> Finding:
    return verdicts.leave("x", reply)


def odd(reply: Reply) -> Finding:
    return verdicts.unusual("x", reply, "a task before the session")


def cut(reply: Reply) -> Finding:
    return verdicts.cut_task("x", reply)


@pytest.mark.parametrize(
    ("judge", "reply", "verdict"),
    [
        (enter, OK, Verdict.OK),
        (enter, REFUSED, FAILED),
        (enter, STATUS, FAILED),
        (enter, UNSERVED, FAILED),
        (bare, OK, Verdict.OK),
        (bare, REFUSED, Verdict.OK),
        (bare, WORDLESS, WARNING),
        (bare, STATUS, WARNING),
        (task, OK, Verdict.OK),
        (task, REFUSED, Verdict.OK),
        (task, WORDLESS, WARNING),
        (task, STATUS, WARNING),
        (task, UNSERVED, FAILED),
        (task, Reply(Kind.ANSWER, message="done"), WARNING),
        (wanted, OK, Verdict.OK),
        (wanted, REFUSED, FAILED),
        (wanted, STATUS, FAILED),
        (usual_size, REFUSED, Verdict.OK),
        (usual_size, STATUS, FAILED),
        (huge, STATUS, WARNING),
        (leave, OK, Verdict.OK),
        (leave, Reply(Kind.ANSWER, seconds=3.0), WARNING),
        (leave, REFUSED, FAILED),
        (leave, STATUS, FAILED),
        (leave, UNSERVED, FAILED),
        (odd, OK, Verdict.OK),
        (odd, REFUSED, Verdict.OK),
        (odd, STATUS, Verdict.OK),
        (cut, OK, Verdict.OK),
        (cut, BROKEN[2], WARNING),
        (cut, BROKEN[0], FAILED),
    ],
)
def test_a_reply_is_judged_by_what_a_cluster_makes_of_it(
    judge: object, reply: Reply, verdict: Verdict
) -> None:
    assert callable(judge)
    found: Finding = judge(reply)
    assert found.verdict is verdict
    assert bool(found.advice) == (verdict is not Verdict.OK), "advice where there is something to"


@pytest.mark.parametrize("reply", BROKEN)
@pytest.mark.parametrize("judge", [enter, bare, task, usual_size, huge, leave, odd])
def test_what_is_no_answer_fails_every_call_in_its_own_words(judge: object, reply: Reply) -> None:
    assert callable(judge)
    found: Finding = judge(reply)
    assert found.verdict is FAILED
    assert reply.text in found.says


def test_a_refusal_is_shown_with_the_services_words() -> None:
    assert "'no seat'" in task(REFUSED).says
    assert "gRPC status INTERNAL: boom" in task(STATUS).says
    assert "OnTaskInvoke" in task(UNSERVED).advice


def test_a_small_input_with_an_output_over_the_limit_fails() -> None:
    large = Reply(Kind.ANSWER, output=5 << 20)
    assert verdicts.small_output(task(large), large).verdict is FAILED
    assert verdicts.small_output(task(OK), OK).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("end", "verdict", "says"),
    [
        (End(status=0), Verdict.OK, "with status 0"),
        (End(status=-15), Verdict.OK, "by signal 15"),
        (End(status=3), WARNING, "with status 3"),
        (End(alone=True, status=0), Verdict.OK, "by itself"),
        (End(alone=True, status=3), WARNING, "with status 3"),
        (End(killed=True, seconds=2.0), FAILED, "within 2.0 s"),
        (End(status=None), Verdict.OK, "status unknown"),
    ],
)
def test_an_end(end: End, verdict: Verdict, says: str) -> None:
    found = verdicts.end("x", end)
    assert (found.verdict, says in found.says) == (verdict, True)


def test_what_is_left_and_what_is_logged() -> None:
    assert verdicts.children("x", End()).verdict is Verdict.OK
    assert verdicts.children("x", End(looked=False)).verdict is Verdict.SKIPPED
    left = verdicts.children("x", End(left=("12 (sleep)",)))
    assert (left.verdict, "12 (sleep)" in left.says) == (WARNING, True)
    escaped = verdicts.children("x", End(escaped=("13 (sleep)",), left=("12 (sleep)",)))
    assert (escaped.verdict, "13 (sleep)" in escaped.says) == (FAILED, True)
    assert verdicts.logs("x", End(logged=9 << 20)).verdict is WARNING
    assert verdicts.logs("x", End(logged=9, flooded=True)).verdict is WARNING
    assert verdicts.logs("x", End(logged=1)).says == "1 byte on standard output and standard error"


def test_a_start() -> None:
    assert verdicts.start("x", Start(0.1)).verdict is Verdict.OK
    assert verdicts.start("x", Start(11.0)).verdict is WARNING
    assert verdicts.start("x", Start(1.0, "no socket")).verdict is FAILED
    assert verdicts.old_socket("x", Start(0.1)).verdict is Verdict.OK
    assert verdicts.old_socket("x", Start(0.1, "exited")).verdict is WARNING
