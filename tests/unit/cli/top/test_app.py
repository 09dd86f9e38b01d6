"""``flamepy top`` shows the engine in a terminal, and changes it only where that was allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from support.waiting import eventually
from textual.pilot import Pilot
from textual.widgets import DataTable, Static

from flamepy.cli.top.actions import Action
from flamepy.cli.top.app import TopApp
from flamepy.cli.top.remote import RemoteHandlers
from flamepy.errors import NotFoundError
from flamepy.informers import Reactor
from flamepy.testing import FakeEngine
from flamepy.view import LiveView

SIZE = (80, 24)
Play = Callable[["Pilot[None]"], Awaitable[None]]


@pytest.fixture
def view(fake_engine: FakeEngine) -> Iterator[LiveView]:
    for name in ("morning", "night"):
        fake_engine.add_session(name)
        for _ in range(3):
            fake_engine.add_task(name)
    fake_engine.start("night", "1")
    fake_engine.fail("night", "1", "no [b]disk[/b] \x1b[31m7")
    reactor = Reactor(endpoint=fake_engine.endpoint, plugins=(), poll_interval=0.02)
    with LiveView(reactor, machines_every=0.05) as made, reactor:

        def complete() -> bool:
            made.refresh()
            return made.model.observed.failed == 1 and made.model.observed.pending == 5

        eventually(complete, "both sessions")
        yield made


def play(view: LiveView, act: Play, size: tuple[int, int] = SIZE, **options: Any) -> None:
    async def scenario() -> None:
        app = TopApp(view, **options)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await act(pilot)

    asyncio.run(scenario())


def table(pilot: Pilot[None]) -> list[list[str]]:
    found = pilot.app.query_one(DataTable)
    return [[str(one) for one in found.get_row_at(number)] for number in range(found.row_count)]


def shown(pilot: Pilot[None], name: str) -> str:
    return str(pilot.app.query_one(name, Static).content)


async def until(pilot: Pilot[None], condition: Callable[[], bool], what: str) -> None:
    for _ in range(400):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{what}: never; {table(pilot)}")


class TestPages:
    def test_sessions_are_there_with_totals(self, view: LiveView) -> None:
        async def act(pilot: Pilot[None]) -> None:
            assert {row[0] for row in table(pilot)} == {"morning", "night"}
            assert "pending 5" in shown(pilot, "#head")
            assert "failed 1" in shown(pilot, "#head")

        play(view, act)

    def test_enter_goes_in_and_escape_back(self, view: LiveView) -> None:
        async def act(pilot: Pilot[None]) -> None:
            await pilot.press("slash", *"night", "enter", "enter")
            await until(pilot, lambda: len(table(pilot)) == 3, "tasks")
            assert {row[0] for row in table(pilot)} == {"night"}
            await pilot.press("enter")
            assert shown(pilot, "#place").startswith("task ")
            await pilot.press("escape", "escape")
            assert shown(pilot, "#place").startswith("sessions")

        play(view, act)

    def test_texts_of_others_are_only_text(self, view: LiveView) -> None:
        async def act(pilot: Pilot[None]) -> None:
            await pilot.press("2")
            (row,) = [row for row in table(pilot) if row[2] == "failed"]
            assert row[-1] == "no [b]disk[/b] \\x1b[31m7"
            await pilot.press("4")
            assert [one[0] for one in table(pilot)] == ["1"]

        play(view, act)

    def test_a_filter_that_matches_nothing_says_how_to_leave_it(self, view: LiveView) -> None:
        async def act(pilot: Pilot[None]) -> None:
            await pilot.press("slash", *"nobody")
            assert table(pilot) == []
            assert "none of 2 sessions matches: escape" in shown(pilot, "#note")
            await pilot.press("escape")
            assert len(table(pilot)) == 2

        play(view, act)

    def test_the_order_changes(self, view: LiveView) -> None:
        async def act(pilot: Pilot[None]) -> None:
            for _ in range(20):
                if "SESSION ▼" in titles(pilot):
                    break
                await pilot.press("s")
            assert [row[0] for row in table(pilot)] == ["night", "morning"]
            await pilot.press("r")
            assert "SESSION ▲" in titles(pilot)
            assert [row[0] for row in table(pilot)] == ["morning", "night"]

        play(view, act, (140, 40))

    @pytest.mark.parametrize("size", [(80, 24), (40, 10), (200, 60)])
    def test_each_page_is_drawn_at_each_size(self, view: LiveView, size: tuple[int, int]) -> None:
        async def act(pilot: Pilot[None]) -> None:
            for key in "1234567":
                await pilot.press(key)
                assert pilot.app.query_one(DataTable).columns

        play(view, act, size)

    def test_what_happens_meanwhile_is_shown_and_the_cursor_stays(
        self, view: LiveView, fake_engine: FakeEngine
    ) -> None:
        async def act(pilot: Pilot[None]) -> None:
            await pilot.press("down")
            before = key(pilot)
            fake_engine.add_session("later")
            await until(pilot, lambda: len(table(pilot)) == 3, "the new session")
            assert key(pilot) == before

        play(view, act)


def titles(pilot: Pilot[None]) -> list[str]:
    return [str(one.label) for one in pilot.app.query_one(DataTable).columns.values()]


def key(pilot: Pilot[None]) -> object:
    found = pilot.app.query_one(DataTable)
    return found.coordinate_to_cell_key(found.cursor_coordinate).row_key.value


class TestActions:
    def test_they_are_asked_for_and_done(self, view: LiveView) -> None:
        done: list[str] = []

        class Connection:
            def close_session(self, session_id: str) -> None:
                done.append(session_id)

        def change(action: Action) -> str:
            return action.act(Connection())

        async def act(pilot: Pilot[None]) -> None:
            await pilot.press("c", "n")
            await pilot.press("c", "y")
            await until(pilot, lambda: bool(done), "the close")
            assert done == [key(pilot)]

        play(view, act, change=change)

    def test_a_refusal_is_said(self, view: LiveView) -> None:
        asked: list[Action] = []

        def change(action: Action) -> str:
            asked.append(action)
            raise NotFoundError("session 'night' is not there")

        async def act(pilot: Pilot[None]) -> None:
            await pilot.press("d", "y")
            await until(pilot, lambda: len(pilot.app._notifications) == 1, "the refusal")
            assert [one.message for one in pilot.app._notifications] == [
                "session 'night' is not there"
            ]

        play(view, act, change=change)
        assert "cannot be undone" in asked[0].question

    def test_without_leave_there_are_none(self, view: LiveView) -> None:
        async def act(pilot: Pilot[None]) -> None:
            await pilot.press("c", "y", "d", "y", "p", "y")
            assert len(pilot.app.screen_stack) == 1

        play(view, act)


def test_a_process_that_does_not_answer_is_named(view: LiveView) -> None:
    async def act(pilot: Pilot[None]) -> None:
        await pilot.press("5")
        await until(
            pilot, lambda: "nothing of flamepy answers at" in shown(pilot, "#note"), "the reason"
        )

    play(view, act, handlers=RemoteHandlers("127.0.0.1:1"))
