"""The pages in a real browser: live, filtered, reachable by keys and readers, and never fooled."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect

from flamepy.dashboard import Dashboard
from flamepy.dashboard.documents import PAGES
from flamepy.informers import Reactor, TaskInformer
from flamepy.testing import FakeEngine

SHOTS = Path(__file__).parents[2] / ".cache" / "screenshots"
HOSTILE = [
    "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>",
    "\u202eright to left\u202c and \u0007 bell \u0000",
    "x" * 1_000_000,
    "javascript:window.hacked=3",
]


class Failing(TaskInformer):
    def on_failed(self, event: object) -> None:
        raise ValueError("<b>cannot</b>")


class Opened:
    """A page with what went wrong on it."""

    def __init__(self, page: Page, port: int) -> None:
        self.page, self.port = page, port
        self.wrong: list[str] = []
        self.foreign: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        lost = "net::ERR" in message.text or "EventSource" in message.text
        if message.type in ("error", "warning") and not lost:
            self.wrong.append(message.text)

    def _request(self, request: Request) -> None:
        if not re.match(rf"http://127\.0\.0\.1:{self.port}/", request.url):
            self.foreign.append(request.url)

    def go(self, address: str) -> Page:
        self.page.goto(f"http://127.0.0.1:{self.port}{address}")
        return self.page


@contextmanager
def opened(browser: Browser, port: int, **options: Any) -> Iterator[Opened]:
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
    made = Opened(context.new_page(), port)
    try:
        yield made
        assert not made.wrong
        assert not made.foreign
    finally:
        context.close()


@pytest.fixture
def engine(fake_engine: FakeEngine) -> FakeEngine:
    fake_engine.add_session("photos-1", "photos")
    fake_engine.add_session("mail-1", "mail")
    for _ in range(6):
        fake_engine.add_task("photos-1", b'{"file": "a.png"}')
    fake_engine.start("photos-1", "1")
    fake_engine.succeed("photos-1", "1", b"done")
    for number, text in enumerate(HOSTILE, 2):
        fake_engine.start("photos-1", str(number))
        fake_engine.fail("photos-1", str(number), text)
    return fake_engine


@pytest.fixture
def served(engine: FakeEngine, tmp_path: Path) -> Iterator[Dashboard]:
    reactor = Reactor(
        endpoint=engine.endpoint, plugins=(), poll_interval=0.05, checkpoint=tmp_path / "state"
    )
    reactor.register(Failing(), uid="mail")
    with Dashboard(reactor, port=0, allow_actions=True) as made, reactor:
        yield made
        made.stop()


@pytest.fixture
def view(browser: Browser, served: Dashboard) -> Iterator[Opened]:
    with opened(browser, served.port) as made:
        yield made


def test_it_updates_while_it_is_looked_at(view: Opened, engine: FakeEngine) -> None:
    page = view.go("/")
    running = page.locator(".tile", has_text="Running").locator(".tile-value")
    expect(running).to_have_text("0")
    engine.start("photos-1", "6")
    expect(running).to_have_text("1")
    engine.succeed("photos-1", "6", b"")
    expect(running).to_have_text("0")
    expect(page.locator(".pill b")).to_have_text("live")


def test_filters_are_in_the_address_which_can_be_shared(
    view: Opened, browser: Browser, served: Dashboard
) -> None:
    page = view.go("/sessions")
    expect(page.locator(".row")).to_have_count(2)
    page.get_by_role("searchbox").fill("photos")
    expect(page.locator(".row")).to_have_count(1)
    page.get_by_role("button", name="Session", exact=True).click()
    expect(page).to_have_url(re.compile(r"text=photos.*sort=-id"))
    address = page.url.partition(str(served.port))[2]
    with opened(browser, served.port) as other:
        other.go(address)
        expect(other.page.locator(".row")).to_have_count(1)
        expect(other.page.get_by_role("searchbox")).to_have_value("photos")
    page.get_by_role("searchbox").fill("nothing like it")
    expect(page.get_by_text("No session matches")).to_be_visible()


def test_hostile_texts_are_shown_as_texts(view: Opened) -> None:
    page = view.go("/tasks?state=failed")
    expect(page.locator(".row")).to_have_count(4)
    expect(
        page.locator(".error-text", has_text="<script>window.hacked = 1</script>")
    ).to_be_visible()
    for address in ("/failures", "/feed", "/", "/session?session=photos-1"):
        view.go(address)
        expect(page.locator(".pill b")).to_have_text("live")
    for number in range(2, 6):
        view.go(f"/task?session=photos-1&task={number}")
        expect(page.locator(".is-error pre")).to_be_visible()
    view.go("/task?session=photos-1&task=2")
    expect(page.locator(".is-error pre")).to_have_text(HOSTILE[0])
    view.go("/task?session=photos-1&task=3")
    expect(page.locator(".is-error pre")).to_contain_text("\\u202eright to left")
    view.go("/task?session=photos-1&task=4")
    expect(page.locator(".is-error")).to_contain_text("of 1,000,000 characters")
    assert page.evaluate("document.body.scrollWidth <= innerWidth")
    view.go("/sessions?text=%3Cscript%3Ewindow.hacked=4%3C/script%3E")
    expect(page.get_by_text("No session matches")).to_be_visible()
    view.go("/task?session=%3Cimg%20src=x%3E&task=%3Cb%3E")
    expect(page.locator("h1")).to_have_text("Task <b>")
    assert page.evaluate("window.hacked") is None


def test_a_payload_is_read_when_it_is_asked_for(view: Opened) -> None:
    page = view.go("/task?session=photos-1&task=1")
    expect(page.locator(".timeline")).to_contain_text("Succeeded")
    expect(page.get_by_text("a.png")).to_have_count(0)
    page.get_by_role("button", name="Show input").click()
    expect(page.get_by_text('"file": "a.png"')).to_be_visible()


def test_it_survives_a_restart_of_the_engine(view: Opened, engine: FakeEngine) -> None:
    page = view.go("/sessions")
    expect(page.locator(".row")).to_have_count(2)
    engine.kill()
    banner = page.get_by_role("alert")
    expect(banner).to_contain_text("The engine does not answer", timeout=20_000)
    expect(page.locator(".pill b")).to_have_text("away")
    expect(page.locator(".row")).to_have_count(2)
    page.screenshot(path=SHOTS / "away.png")
    engine.restart()
    expect(page.locator(".pill b")).to_have_text("live", timeout=20_000)
    engine.add_session("later")
    expect(page.locator(".row")).to_have_count(3)


def test_it_survives_a_restart_of_the_server(browser: Browser, engine: FakeEngine) -> None:
    def reactor() -> Reactor:
        return Reactor(endpoint=engine.endpoint, plugins=(), poll_interval=0.05)

    first = reactor()
    with Dashboard(first, port=0) as served, first:
        port = served.port
        with opened(browser, port) as view:
            page = view.go("/sessions")
            expect(page.locator(".row")).to_have_count(2)
            served.stop()
            expect(page.get_by_role("alert")).to_contain_text("server does not answer")
            expect(page.locator(".row")).to_have_count(2)
            second = reactor()
            with Dashboard(second, port=port) as again, second:
                expect(page.locator(".pill b")).to_have_text("live", timeout=20_000)
                engine.add_session("later")
                expect(page.locator(".row")).to_have_count(3)
                page.goto("about:blank")
                again.stop()


def test_a_tab_that_slept_shows_what_it_missed(view: Opened, engine: FakeEngine) -> None:
    page = view.go("/sessions")
    expect(page.locator(".row")).to_have_count(2)
    page.context.set_offline(True)
    page.evaluate("window.dispatchEvent(new Event('offline'))")
    engine.add_session("meanwhile")
    page.context.set_offline(False)
    page.evaluate("window.dispatchEvent(Object.assign(new Event('pageshow'), {persisted: true}))")
    expect(page.locator(".row")).to_have_count(3)


def test_keys_move_filter_and_open(view: Opened) -> None:
    page = view.go("/")
    expect(page.locator(".tile").first).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("s")
    expect(page.locator("h1")).to_have_text("Sessions")
    expect(page.locator("h1")).to_be_focused()
    expect(page.locator(".row")).to_have_count(2)
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    expect(page.locator(".row.chosen")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/session[?]session="))
    page.go_back()
    expect(page.locator("h1")).to_have_text("Sessions")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_an_action_asks_first_and_says_what_it_did(view: Opened, engine: FakeEngine) -> None:
    page = view.go("/session?session=mail-1")
    page.get_by_role("button", name="Close session").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("mail-1")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="Close session")).to_be_visible()
    page.get_by_role("button", name="Close session").click()
    dialog.get_by_role("button", name="Close session").click()
    expect(page.get_by_text("closed mail-1")).to_be_visible()
    expect(page.get_by_role("button", name="Delete session")).to_be_visible()


def test_handlers_are_paused_and_dead_letters_handled_again(view: Opened) -> None:
    page = view.go("/handlers")
    expect(page.locator(".error-text", has_text="<b>cannot</b>").first).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("dialog").get_by_role("button", name="Pause mail").click()
    expect(page.get_by_text("paused: paused in the dashboard").first).to_be_visible()
    page.get_by_role("button", name="Handle again").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Handle it again").click()
    expect(page.get_by_text("1 will be handled again")).to_be_visible()


def test_the_feed_can_be_paused(view: Opened, engine: FakeEngine) -> None:
    page = view.go("/feed")
    engine.add_session("first")
    expect(page.locator(".feed-row", has_text="first")).to_be_visible()
    page.keyboard.press("p")
    engine.add_session("second")
    expect(page.get_by_role("status").filter(has_text="newer lines wait")).to_contain_text("1")
    expect(page.locator(".feed-row", has_text="second")).to_have_count(0)
    page.get_by_role("button", name="Continue").click()
    expect(page.locator(".feed-row", has_text="second")).to_be_visible()


def test_colours_follow_the_system_or_the_button(browser: Browser, served: Dashboard) -> None:
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    with opened(browser, served.port, color_scheme="dark") as view:
        page = view.go("/")
        expect(page.locator(".tile").first).to_be_visible()
        dark = page.evaluate(paper)
        page.get_by_role("button", name="Light colours").click()
        light = page.evaluate(paper)
        assert dark != light
        page.reload()
        expect(page.locator(".tile").first).to_be_visible()
        assert page.evaluate(paper) == light


def test_the_token_opens_it_and_leaves_the_address(browser: Browser, engine: FakeEngine) -> None:
    token = "a-token-of-more-than-16"
    reactor = Reactor(endpoint=engine.endpoint, plugins=(), poll_interval=0.05)
    with Dashboard(reactor, port=0, token=token) as served, reactor:
        context = browser.new_context()
        page = context.new_page()
        page.goto(served.url)
        page.get_by_label("Token").fill("wrong")
        page.get_by_role("button", name="Open").click()
        expect(page.get_by_role("alert")).to_have_text("That is not the token.")
        page.get_by_label("Token").fill(token)
        page.get_by_role("button", name="Open").click()
        expect(page.locator(".tile").first).to_be_visible()
        context.clear_cookies()
        page.goto("about:blank")
        page.goto(f"{served.url}#token={token}")
        expect(page.locator(".tile").first).to_be_visible()
        assert token not in page.url
        context.close()
        served.stop()


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_each_page_is_accessible_and_fits(
    browser: Browser, served: Dashboard, name: str, width: int, scheme: str
) -> None:
    size = {"width": width, "height": 800}
    with opened(browser, served.port, viewport=size, color_scheme=scheme) as view:
        page = view.go(f"/{'' if name == 'overview' else name}?session=photos-1&task=1")
        expect(page.locator(".pill b")).to_have_text("live")
        page.wait_for_load_state("load")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = Axe().run(page)
        page.screenshot(path=SHOTS / f"{name}-{width}-{scheme}.png", full_page=True)
        assert found.violations_count == 0, found.generate_report()


CUT = """() => {
  document.querySelector(".row td:last-child").textContent = "12 min ago";
  return [...document.querySelectorAll(".row td, .row .why, .row .two > *")]
    .filter((one) => one.scrollWidth > one.clientWidth || one.scrollHeight > one.clientHeight + 1)
    .map((one) => one.textContent);
}"""


def test_an_ordinary_session_is_shown_whole_on_a_laptop(view: Opened, engine: FakeEngine) -> None:
    engine.add_session("byte-service-W8vU9s", "byte-service")
    for number in ("1", "2"):
        engine.add_task("byte-service-W8vU9s", b"x")
        engine.start("byte-service-W8vU9s", number)
    page = view.go("/sessions?text=byte-service")
    expect(page.locator(".row .why")).to_contain_text("the last 2 tasks running")
    assert page.evaluate(CUT) == []


def test_an_empty_engine_says_what_to_do_next(browser: Browser, fake_engine: FakeEngine) -> None:
    reactor = Reactor(endpoint=fake_engine.endpoint, plugins=(), poll_interval=0.05)
    with Dashboard(reactor, port=0) as served, reactor:
        with opened(browser, served.port) as view:
            page = view.go("/")
            expect(page.get_by_text("Nothing has run here yet")).to_be_visible()
            view.go("/sessions")
            expect(page.get_by_text("No sessions yet")).to_be_visible()
            view.go("/handlers")
            expect(page.get_by_text("flamepy run --http")).to_be_visible()
            page.screenshot(path=SHOTS / "empty.png")
        served.stop()
