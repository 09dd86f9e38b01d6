"""What an engine's parser, serde_json, finds wrong with a JSON text, to the letter. Pure.

Lines are counted from 1, columns in bytes. An error about a byte that was only looked at points
after it, as does one about a byte that was read; at the end of the text both point at its length.
"""

from __future__ import annotations

import math
import re

DEPTH = 128  # arrays and objects in one another, from which on they are refused
EXPONENT = 2**31 - 1

_SPACE = re.compile(rb"[ \t\r\n]*")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_DIGITS = re.compile(rb"[0-9]*")
_HEX = re.compile(rb"[0-9a-fA-F]{4}")
_WORDS = {ord("n"): b"null", ord("t"): b"true", ord("f"): b"false"}

_EOF_VALUE = "EOF while parsing a value"
_EOF_STRING = "EOF while parsing a string"
_INVALID_NUMBER = "invalid number"
_OUT_OF_RANGE = "number out of range"


class _Problem(Exception):
    """What is wrong, and the number of bytes up to there."""

    def __init__(self, text: str, at: int) -> None:
        super().__init__(text, at)
        self.text = text
        self.at = at


def json_problem(text: str) -> str | None:
    """Return the parser's error for a text, or None if it is JSON."""
    data = text.encode()
    try:
        _Parser(data).check()
    except _Problem as problem:
        before = data[: problem.at]
        line = before.count(b"\n") + 1
        column = problem.at - (before.rfind(b"\n") + 1)
        return f"{problem.text} at line {line} column {column}"
    return None


class _Parser:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._depth = 0

    def check(self) -> None:
        """Raises _Problem."""
        self._value()
        if self._peek() is not None:
            raise self._ahead("trailing characters")

    def _here(self, text: str) -> _Problem:
        return _Problem(text, self._at)

    def _ahead(self, text: str) -> _Problem:
        return _Problem(text, min(self._at + 1, len(self._data)))

    def _peek(self) -> int | None:
        """Return the next byte that is no white space, without reading it."""
        self._skip(_SPACE)
        return self._look()

    def _look(self) -> int | None:
        return self._data[self._at] if self._at < len(self._data) else None

    def _skip(self, what: re.Pattern[bytes]) -> int:
        found = what.match(self._data, self._at)
        before = self._at
        self._at = found.end() if found is not None else before
        return self._at - before

    # ------------------------------------------------------------------ values

    def _value(self) -> None:
        first = self._peek()
        if first is None:
            raise self._ahead(_EOF_VALUE)
        if first in _WORDS:
            self._word(_WORDS[first])
        elif first == 0x22:
            self._string()
        elif first in b"-0123456789":
            self._number()
        elif first in b"[{":
            self._depth += 1
            if self._depth == DEPTH:
                raise self._ahead("recursion limit exceeded")
            self._at += 1
            self._list() if first == 0x5B else self._object()
            self._depth -= 1
        else:
            raise self._ahead("expected value")

    def _word(self, word: bytes) -> None:
        for wanted in word:
            if self._at == len(self._data):
                raise self._here(_EOF_VALUE)
            self._at += 1
            if self._data[self._at - 1] != wanted:
                raise self._here("expected ident")

    def _list(self) -> None:
        first = True
        while (found := self._peek()) != 0x5D:
            if found is None:
                raise self._ahead("EOF while parsing a list")
            if not first:
                self._comma(found, "expected `,` or `]`", 0x5D)
            first = False
            self._value()
        self._at += 1

    def _object(self) -> None:
        first = True
        while (found := self._peek()) != 0x7D:
            if found is None:
                raise self._ahead("EOF while parsing an object")
            if not first:
                self._comma(found, "expected `,` or `}`", 0x7D)
            first = False
            if self._look() != 0x22:
                raise self._ahead("key must be a string")
            self._string()
            self._colon()
            self._value()
        self._at += 1

    def _comma(self, found: int, otherwise: str, end: int) -> None:
        """Read a comma, and look that a value or a key follows."""
        if found != 0x2C:
            raise self._ahead(otherwise)
        self._at += 1
        after = self._peek()
        if after is None:
            raise self._ahead(_EOF_VALUE)
        if after == end:
            raise self._ahead("trailing comma")

    def _colon(self) -> None:
        found = self._peek()
        if found is None:
            raise self._ahead("EOF while parsing an object")
        if found != 0x3A:
            raise self._ahead("expected `:`")
        self._at += 1

    # ------------------------------------------------------------------ numbers

    def _number(self) -> None:
        begin = self._at
        self._at += self._look() == 0x2D
        first = self._look()
        if first is None:
            raise self._here(_EOF_VALUE)
        self._at += 1
        if first not in b"0123456789":
            raise self._here(_INVALID_NUMBER)
        if self._skip(_DIGITS) and first == 0x30:
            self._at = begin + 1 + (self._data[begin] == 0x2D)
            raise self._ahead(_INVALID_NUMBER)
        if self._look() == 0x2E:
            self._at += 1
            if not self._skip(_DIGITS):
                raise self._ahead(_EOF_VALUE if self._look() is None else _INVALID_NUMBER)
        if self._at < len(self._data) and self._data[self._at] in b"eE":
            self._exponent(zero=not self._data[begin : self._at].strip(b"-0."))
        if math.isinf(float(self._data[begin : self._at])):
            raise self._here(_OUT_OF_RANGE)

    def _exponent(self, *, zero: bool) -> None:
        self._at += 1
        sign = self._look()
        self._at += sign in (0x2B, 0x2D)
        first = self._look()
        if first is None:
            raise self._here(_EOF_VALUE)
        self._at += 1
        if first not in b"0123456789":
            raise self._here(_INVALID_NUMBER)
        begin = self._at - 1
        self._skip(_DIGITS)
        digits = self._data[begin : self._at].lstrip(b"0")
        for length in range(10, min(len(digits), 11) + 1):
            if int(digits[:length]) > EXPONENT and sign != 0x2D and not zero:
                self._at += length - len(digits)
                raise self._here(_OUT_OF_RANGE)

    # ------------------------------------------------------------------ strings

    def _string(self) -> None:
        self._at += 1
        while True:
            self._skip(_PLAIN)
            byte = self._byte()
            if byte == 0x22:
                return
            if byte != 0x5C:
                text = "control character (\\u0000-\\u001F) found while parsing a string"
                raise self._here(text)
            self._escape()

    def _byte(self) -> int:
        if self._at == len(self._data):
            raise self._here(_EOF_STRING)
        self._at += 1
        return self._data[self._at - 1]

    def _escape(self) -> None:
        kind = self._byte()
        if kind == 0x75:
            self._unicode()
        elif kind not in b'"\\/bfnrt':
            raise self._here("invalid escape")

    def _unicode(self) -> None:
        code = self._four()
        if 0xDC00 <= code <= 0xDFFF:
            raise self._here("lone leading surrogate in hex escape")
        if not 0xD800 <= code <= 0xDBFF:
            return
        for wanted in b"\\u":
            if self._byte() != wanted:
                raise self._here("unexpected end of hex escape")
        if not 0xDC00 <= self._four() <= 0xDFFF:
            raise self._here("lone leading surrogate in hex escape")

    def _four(self) -> int:
        if self._at + 4 > len(self._data):
            self._at = len(self._data)
            raise self._here(_EOF_STRING)
        digits = self._data[self._at : self._at + 4]
        self._at += 4
        if not _HEX.fullmatch(digits):
            raise self._here("invalid escape")
        return int(digits, 16)
