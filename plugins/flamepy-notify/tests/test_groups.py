"""One message for many failures: how many, of which texts, and where."""

from __future__ import annotations

from events import facts, failed, overdue
from flamepy_notify import groups


def test_failures_are_grouped_by_text_the_most_frequent_first() -> None:
    problems = facts(
        *(failed(str(one), "timeout") for one in (1, 2)),
        *(failed(str(one), "disk full") for one in range(3, 38)),
    )
    assert groups.summary(problems) == "disk full (35), timeout (2)"
    assert groups.details(problems).splitlines() == [
        "35 × disk full: s1/3, s1/4, s1/5 and 32 others",
        "2 × timeout: s1/1, s1/2",
    ]


def test_texts_that_differ_in_numbers_alone_are_one() -> None:
    problems = facts(failed("1", "no block 17"), failed("2", "no block 18"), failed("3", "no disk"))
    assert groups.summary(problems) == "no block … (2), no disk (1)"


def test_a_few_texts_are_named_and_the_others_counted() -> None:
    letters = "abcdefgh"
    problems = facts(*(failed(str(index), one * 3) for index, one in enumerate(letters)))
    assert groups.summary(problems).endswith(", eee (1), 3 other texts (3)")
    assert len(groups.details(problems).splitlines()) == groups.TEXTS


def test_fields_say_how_many_of_what_and_when() -> None:
    one = facts(failed("1"))
    values = groups.fields(one, scope="render")
    assert (values["count"], values["tasks"], values["scope"]) == ("1", "task", "render")
    two = [*facts(failed("1")), *facts(failed("1", application="mix"), first=2, seconds=90)]
    values = groups.fields(two, scope="*")
    assert (values["tasks"], values["scope"]) == ("tasks", "2 applications")
    assert values["applications"] == "mix, render"
    assert (values["first"], values["last"]) == (
        "2026-03-04 12:00:00 UTC",
        "2026-03-04 12:01:30 UTC",
    )
    assert values["duration"] == "1 min"


def test_a_scope_is_an_application_a_session_or_everything() -> None:
    (fact,) = facts(overdue("7"))
    scopes = [groups.scope_of(fact, one) for one in ("application", "session", "none")]
    assert scopes == ["render", "render, session s1", "*"]


def test_durations() -> None:
    shown = [groups.duration(one) for one in (-1, 50, 60, 3599, 8040)]
    assert shown == ["0 s", "50 s", "1 min", "59 min", "2 h 14 min"]
