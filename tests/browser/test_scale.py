"""A table of many thousand tasks: few elements, and every row can be reached."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from flamepy.dashboard import Dashboard
from flamepy.informers import Reactor
from flamepy.testing import ScriptedConnection
from flamepy.types import TaskState

TASKS = 20_000


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with ScriptedConnection() as connection:
        connection.do(lambda source: source.add_session("s"))
        connection.do(lambda source: source.add_tasks("s", TASKS, state=TaskState.SUCCEED))
        reactor = Reactor(connection=connection, plugins=())
        with Dashboard(reactor, port=0) as served, reactor:
            made = browser.new_page(viewport={"width": 1280, "height": 800})
            made.goto(f"{served.url}tasks?sort=id")
            expect(made.get_by_role("status").first).to_have_text(
                f"{TASKS:,} of {TASKS:,} tasks", timeout=60_000
            )
            yield made
            made.close()
            served.stop()


def shown(page: Page) -> str:
    """Return the first row that can be seen below the head."""
    return page.evaluate(
        """() => {
          const top = document.querySelector("thead th").getBoundingClientRect().bottom;
          for (const row of document.querySelectorAll(".row")) {
            const bottom = row.getBoundingClientRect().bottom;
            if (bottom > top + 5) return row.querySelector(".name").textContent;
          }
          return "";
        }"""
    )


def test_few_elements_show_any_row(page: Page) -> None:
    assert page.evaluate("document.querySelectorAll('*').length") < 2_500
    assert shown(page) == "#1"
    for place in (10_000, 3, 19_990):
        page.evaluate(f"document.querySelector('.table').scrollTop = {46 * place}")
        expect(page.locator(".row", has_text=f"#{min(place + 5, TASKS)}").first).to_be_attached()
    assert page.evaluate("document.querySelectorAll('*').length") < 2_500
    expect(page.get_by_role("table")).to_have_attribute("aria-rowcount", str(TASKS + 1))
    expect(page.locator(".row").last).to_have_attribute("aria-rowindex", str(TASKS + 1))


def test_the_server_filters_and_sorts_all_of_them(page: Page) -> None:
    page.get_by_role("button", name="Task", exact=True).click()
    expect(page.locator(".row").first).to_contain_text(f"#{TASKS}")
    page.get_by_role("searchbox").fill("17")
    expect(page.locator(".row")).to_have_count(1)
    page.keyboard.press("Escape")
