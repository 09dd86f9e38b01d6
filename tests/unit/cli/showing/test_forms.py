"""The forms of ``--output``: each prints every record, and a wrong one names what there is."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import click
import pytest
import yaml
from click.testing import CliRunner

from flamepy.cli.showing.forms import Form, FormType, output_option
from flamepy.cli.showing.output import limit_option, newest, show
from flamepy.cli.showing.rows import Rows
from flamepy.types import TaskState

NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)
RECORDS = [
    {"id": "a", "state": TaskState.FAILED, "creation_time": NOW, "more": {"deep": 5}},
    {"id": "b\x1b[31m", "state": TaskState.RUNNING, "creation_time": NOW, "more": {"deep": None}},
]


@click.command()
@output_option()
@limit_option
def listing(form: Form | None, limit: int, last: int | None) -> None:
    records = [{"id": str(number), "state": "x"} for number in range(5)]
    show(newest(records, limit=limit, last=last), ["id"], form, wide=["state"])


def run(*words: str) -> str:
    done = CliRunner().invoke(listing, words)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("words", [("-o", "json"), ("--json",), ("--output", "json"), ()])
def test_json_in_a_pipe_and_where_it_is_asked_for(words: tuple[str, ...]) -> None:
    assert [one["id"] for one in json.loads(run(*words))] == list("01234")


def test_a_table_has_columns_and_wide_has_more() -> None:
    assert run("--table").splitlines()[0].split() == ["ID"]
    assert run("-o", "wide").splitlines()[0].split() == ["ID", "STATE"]


def test_names_are_one_a_line_for_other_programs() -> None:
    assert run("-o", "name").split() == list("01234")


def test_a_template_is_a_line_of_each_record() -> None:
    assert run("-o", "template={id}\\t{state:>3}").splitlines()[0] == "0\t  x"


def test_the_limit_leaves_the_newest_and_says_how_many_more() -> None:
    done = CliRunner().invoke(listing, ["--limit", "2", "-o", "name"])
    assert done.stdout.split() == ["3", "4"]
    assert done.stderr == "3 more, older: --limit 5 shows them, too\n"
    assert run("--limit", "0", "-o", "name").split() == list("01234")


def test_last_leaves_the_newest_and_says_nothing() -> None:
    done = CliRunner().invoke(listing, ["--last", "2", "-o", "name"])
    assert (done.stdout.split(), done.stderr) == (["3", "4"], "")


def shown(form: Form, capsys: pytest.CaptureFixture[str]) -> str:
    show(RECORDS, ["id"], form)
    return capsys.readouterr().out


def test_yaml_has_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = yaml.safe_load(shown(Form("yaml"), capsys))
    assert first == {
        "id": "a",
        "state": "FAILED",
        "creation_time": "2026-01-02T00:00:00+00:00",
        "more": {"deep": 5},
    }
    assert second["id"] == "b\x1b[31m"


def test_a_template_reaches_inside_and_lets_no_control_character_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = shown(Form("template", "{id} {more.deep}"), capsys).splitlines()
    assert lines == ["a 5", "b\\x1b[31m "]


def test_an_unknown_key_of_a_template_names_the_keys() -> None:
    with pytest.raises(click.UsageError, match=r"'more\.no'; there are: id, state, creation_time"):
        show(RECORDS, ["id"], Form("template", "{more.no}"))


@pytest.mark.parametrize("text", ["xml", "template", "template={a", ""])
def test_another_form_is_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"json, yaml, wide, name, table|no template"):
        FormType().convert(text, None, None)


def test_a_format_string_cannot_reach_attributes() -> None:
    with pytest.raises(click.UsageError, match="there are: id"):
        show(RECORDS, ["id"], Form("template", "{id.__class__}"))


class TestRows:
    def test_a_row_that_comes_later_stands_below_its_title(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        rows = Rows(["id", "state"], Form("table"))
        rows.show([{"id": "long name", "state": "OPEN"}])
        rows.show([{"id": "b", "state": "CLOSED"}])
        assert capsys.readouterr().out.splitlines() == [
            "ID         STATE",
            "long name  OPEN",
            "b          CLOSED",
        ]

    @pytest.mark.parametrize(
        ("form", "wanted"),
        [
            (Form("json"), '{"id": "a"}\n{"id": "b"}\n'),
            (Form("name"), "a\nb\n"),
            (Form("template", "<{id}>"), "<a>\n<b>\n"),
            (Form("yaml"), "---\nid: a\n---\nid: b\n"),
        ],
    )
    def test_each_record_is_its_own(
        self, form: Form, wanted: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        rows = Rows(["id"], form)
        rows.show([{"id": "a"}])
        rows.show([{"id": "b"}])
        assert capsys.readouterr().out == wanted
