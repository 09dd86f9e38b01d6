"""``NumberSet``: which task numbers a list has shown, a byte for each. Pure."""

from __future__ import annotations

PAGE = 1024  # numbers


class NumberSet:
    """A set of whole numbers from 0 that lie close together, as an engine numbers tasks.

    A set of ints takes seventy times the memory. Numbers far apart take a page each.
    """

    __slots__ = ("_pages", "count")

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}
        self.count = 0  # of different numbers

    def add(self, number: int) -> None:
        """Add a number."""
        page = self._pages.get(number // PAGE)
        if page is None:
            page = self._pages[number // PAGE] = bytearray(PAGE)
        self.count += not page[number % PAGE]
        page[number % PAGE] = 1

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int) or number < 0:
            return False
        page = self._pages.get(number // PAGE)
        return page is not None and bool(page[number % PAGE])
