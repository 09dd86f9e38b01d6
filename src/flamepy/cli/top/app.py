"""``TopApp``: draws the pages in a terminal and takes the keys. Everything is on Textual's loop.

The view is refreshed there, for some milliseconds at a time; calls to the engine run on threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.coordinate import Coordinate
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Input, Static

from flamepy.cli.top import actions, columns
from flamepy.cli.top.actions import Action
from flamepy.cli.top.listings import PAGES, Listing, Place, Sources, listing
from flamepy.cli.top.remote import RemoteHandlers
from flamepy.errors import FlameError
from flamepy.runtime.clocks import wall
from flamepy.texts import repr_of
from flamepy.view import LiveView, Overview

INTERVAL = 0.5  # seconds between two pictures
BUDGET = 0.05  # seconds of one refresh of the view
HANDLERS_EVERY = 2.0  # seconds between two questions to the other process
ACTIONS = ("close_session", "delete_session", "pause")
HISTORY = 60.0  # seconds of the small chart


class Question(ModalScreen[bool]):
    """Asks before something is changed; answers True for ``y``."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes"),
        Binding("n,escape", "answer(False)", "no"),
    ]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """Show the question."""
        yield Vertical(Static(Text(f"{self._text}\n\ny yes   n no")))

    def action_answer(self, answer: bool) -> None:
        """Close it with an answer."""
        self.dismiss(answer)


class TopApp(App[None]):
    """The screen of ``flamepy top``.

    Args:
        view: open; it stays its owner's.
        change: runs an action with a connection, blocking, and returns what to say; None where
            nothing may be changed. Raises FlameError.
        handlers: the informers of another process.
    """

    CSS = """
    #head { height: 3; padding: 0 1; }
    #pages { height: 1; padding: 0 1; }
    #place { height: 1; padding: 0 1; text-style: bold; }
    #note { height: auto; padding: 0 1; color: $text-muted; }
    #filter { display: none; height: 3; }
    #filter.open { display: block; }
    DataTable { height: 1fr; }
    Question { align: center middle; }
    Question Vertical { width: 60; height: auto; border: round $warning; padding: 1 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(n), f"page('{name}')", name, show=False) for n, name in enumerate(PAGES, 1)),
        Binding("slash", "filter", "filter"),
        Binding("s", "sort", "sort"),
        Binding("r", "turn", "reverse"),
        Binding("escape", "leave", "back"),
        Binding("c", "close_session", "close"),
        Binding("d", "delete_session", "delete"),
        Binding("p", "pause", "pause"),
        Binding("q", "quit", "quit"),
    ]
    ENABLE_COMMAND_PALETTE = False
    TITLE = "flamepy top"

    def __init__(
        self,
        view: LiveView,
        *,
        change: Callable[[Action], str] | None = None,
        handlers: RemoteHandlers | None = None,
    ) -> None:
        super().__init__()
        self._view = view
        self._handlers = handlers
        self._change = change
        self._place = Place()
        self._trail: list[Place] = []
        self._drawn: tuple[str, ...] = ()  # the titles of the table
        self._cells: dict[str, list[Text]] = {}

    # ------------------------------------------------------------------ drawing

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        yield Static(id="head")
        yield Static(id="pages")
        yield Static(id="place")
        yield Input(id="filter", placeholder="part of a name, an id or an error")
        yield DataTable(cursor_type="row", zebra_stripes=True)
        yield Static(id="note")
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Begin to draw."""
        self.query_one(DataTable).focus()
        self.set_interval(INTERVAL, self.draw)
        if self._handlers is not None:
            self.set_interval(HANDLERS_EVERY, self._ask_for_handlers)
            self._ask_for_handlers()
        self.draw()

    def _ask_for_handlers(self) -> None:
        assert self._handlers is not None
        self.run_worker(self._handlers.refresh, thread=True, exclusive=True, group="handlers")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer no action where nothing may be changed."""
        return self._change is not None or action not in ACTIONS

    def draw(self) -> None:
        """Refresh the view and show what is there now."""
        if not self.query("#note"):
            return  # a last tick: the screen has been taken down
        self._view.refresh(BUDGET)
        now = wall()
        overview = self._view.model.overview(now)
        self.query_one("#head", Static).update(self._head(overview, now))
        try:
            found = listing(self._sources(), self._place, now)
        except FlameError as error:  # the reactor has ended
            self.query_one("#note", Static).update(Text(error.message))
            return
        self.query_one("#pages", Static).update(self._pages())
        self.query_one("#place", Static).update(Text(self._heading(), no_wrap=True))
        self.query_one("#note", Static).update(Text(found.note))
        self._fill(found)

    def _sources(self) -> Sources:
        return Sources(self._view, self._handlers, self.size.width)

    def _head(self, shown: Overview, now: float) -> Text:
        counts = shown.counts
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(columns.cut(shown.endpoint, 40), "bold")
        text.append("  ")
        text.append(shown.connection, columns.STYLES.get(shown.connection, ""))
        if shown.away_for is not None:
            away = f" for {columns.seconds(shown.away_for)}: {columns.cut(shown.away_reason, 60)}"
            text.append(away, "bold red")
        elif not shown.synced:
            text.append("  reading what is there", "yellow")
        for name, number in (
            ("\npending", counts.pending),
            ("running", counts.running),
            ("succeed", counts.succeed),
            ("failed", counts.failed),
            ("cancelled", counts.cancelled),
        ):
            style = columns.STYLES.get(name, "") if number else ""
            text.append(f"{name} {columns.count(number)}  ", style)
        history = self._view.model.columns(now, HISTORY).values["succeeded"]
        text.append(f"\n{columns.rate(shown.rate)} {columns.sparkline(history, 30)}  ")
        text.append(f"left {columns.seconds(shown.eta)}  sessions {shown.open_sessions:,} open")
        text.append(f"  executors {columns.count(shown.executors_bound)}")
        text.append(f" of {columns.count(shown.executors)}")
        return text

    def _pages(self) -> Text:
        text = Text(no_wrap=True, overflow="ellipsis")
        for number, name in enumerate(PAGES, 1):
            text.append(f"{number} {name}", "reverse" if name == self._place.page else "")
            text.append(" ")
        return text

    def _heading(self) -> str:
        place = self._place
        where = f" of {place.session}" if place.session else ""
        name = f"task {place.task}" if place.page == "task" else place.page
        filtered = f"  containing {repr_of(place.text)}" if place.text else ""
        return f"{name}{where}{filtered}"

    def _fill(self, found: Listing) -> None:
        table = self.query_one(DataTable)
        titles = tuple(_title(one, self._place.sort) for one in found.columns)
        cells = {key: [_cell(one, row) for one in found.columns] for key, row in found.rows}
        if titles != self._drawn or list(cells) != list(self._cells):
            self._rebuild(table, titles, cells)
        else:
            for row, (key, texts) in enumerate(cells.items()):
                for column, text in enumerate(texts):
                    if text != self._cells[key][column]:
                        table.update_cell_at(Coordinate(row, column), text, update_width=True)
        self._drawn, self._cells = titles, cells

    def _rebuild(
        self, table: DataTable[Any], titles: tuple[str, ...], cells: dict[str, list[Text]]
    ) -> None:
        chosen = self._key()
        table.clear(columns=titles != self._drawn)
        if titles != self._drawn:
            table.add_columns(*titles)
        for key, texts in cells.items():
            table.add_row(*texts, key=key)
        if chosen in cells:
            table.move_cursor(row=list(cells).index(chosen), animate=False)

    def _key(self) -> str:
        table = self.query_one(DataTable)
        if not table.row_count or not table.is_valid_row_index(table.cursor_row):
            return ""
        return str(table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value)

    # ------------------------------------------------------------------ going about

    def _go(self, place: Place) -> None:
        self._trail.append(self._place)
        self._place = place
        self.draw()

    def action_page(self, name: str) -> None:
        """Show a page."""
        if name != self._place.page or self._place.session:
            self._go(Place(page=name))

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Show what is inside a row."""
        key = str(event.row_key.value)
        if self._place.page == "sessions":
            self._go(Place(page="tasks", session=key))
        elif self._place.page == "tasks":
            session, _, task = key.rpartition("/")
            self._go(Place(page="task", session=session, task=task))
        elif self._place.page == "applications":
            self._go(Place(page="sessions", text=key))

    def action_leave(self) -> None:
        """Leave the filter, else go back to where one was before."""
        box = self.query_one("#filter", Input)
        if box.has_class("open"):
            self._close_filter(box)
        elif self._trail:
            self._place = self._trail.pop()
            self.draw()

    def action_filter(self) -> None:
        """Ask for a text that the rows must contain."""
        box = self.query_one("#filter", Input)
        box.value = self._place.text
        box.add_class("open")
        box.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while the text is typed."""
        self._place = replace(self._place, text=event.value)
        self.draw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter."""
        event.input.remove_class("open")
        self.query_one(DataTable).focus()

    def _close_filter(self, box: Input) -> None:
        box.value = ""
        box.remove_class("open")
        self.query_one(DataTable).focus()

    def action_sort(self) -> None:
        """Sort by the next column."""
        found = listing(self._sources(), self._place, wall())
        self._place = self._place.sorted_next(found.columns)
        self.draw()

    def action_turn(self) -> None:
        """Turn the order."""
        self._place = self._place.turned()
        self.draw()

    # ------------------------------------------------------------------ changing something

    def action_close_session(self) -> None:
        """Close the session at hand, after a question."""
        self._ask(actions.close(self._place, self._key()))

    def action_delete_session(self) -> None:
        """Delete the session at hand, after a question."""
        self._ask(actions.delete(self._place, self._key()))

    def action_pause(self) -> None:
        """Pause the informer at hand, or resume it, after a question."""
        self._ask(actions.pause(self._place, self._key(), self._handlers))

    def _ask(self, action: Action | None) -> None:
        if action is None or self._change is None:
            return
        chosen, change = action, self._change

        def answered(yes: bool | None) -> None:
            if yes:
                self.run_worker(lambda: self._do(change, chosen), thread=True)

        self.push_screen(Question(action.question), answered)

    def _do(self, change: Callable[[Action], str], action: Action) -> None:
        try:
            said = change(action)
        except FlameError as error:
            self.call_from_thread(self.notify, error.message, severity="error", markup=False)
        else:
            self.call_from_thread(self.notify, said, markup=False)


def _title(column: columns.Column[Any], sort: str) -> str:
    if not column.sort or column.sort != sort.removeprefix("-"):
        return column.title
    return f"{column.title} {'▼' if sort.startswith('-') else '▲'}"


def _cell(column: columns.Column[Any], row: Any) -> Text:
    word = column.style(row) if column.style is not None else ""
    justify: Any = "right" if column.number else "left"
    return Text(column.text(row), columns.STYLES.get(word, ""), justify=justify)
