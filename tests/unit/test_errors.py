"""One root, codes kept, subclasses for what callers catch."""

from __future__ import annotations

import concurrent.futures
import pickle

import pytest

from flamepy import errors
from flamepy.errors import FlameError, FlameErrorCode

CODED = [
    kind
    for name in errors.__all__
    if isinstance(kind := getattr(errors, name), type)
    and issubclass(kind, FlameError)
    and kind is not FlameError
]


def test_the_official_codes_keep_their_numbers_and_ours_come_after() -> None:
    assert [code.name for code in FlameErrorCode][:6] == [
        "INVALID_CONFIG",
        "INVALID_STATE",
        "INVALID_ARGUMENT",
        "INTERNAL",
        "ALREADY_EXISTS",
        "NOT_FOUND",
    ]
    assert [int(code) for code in FlameErrorCode] == list(range(13))


def test_the_root_is_made_and_shown_as_in_the_official_sdk() -> None:
    error = FlameError(FlameErrorCode.NOT_FOUND, "no such thing")
    assert (error.code, error.message) == (FlameErrorCode.NOT_FOUND, "no such thing")
    assert str(error) == "no such thing (code: 5)"


@pytest.mark.parametrize("kind", CODED)
def test_every_error_knows_its_code_and_crosses_a_process_border(kind: type[FlameError]) -> None:
    error = kind("text")  # type: ignore[arg-type]
    error.attempts, error.elapsed = 3, 1.5
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert (back.code, back.message, back.attempts, back.elapsed) == (error.code, "text", 3, 1.5)
    assert isinstance(back, FlameError)


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        (errors.InvalidArgumentError, ValueError),
        (errors.SessionClosedError, ValueError),
        (errors.DeadlineExceededError, TimeoutError),
        (errors.UnavailableError, ConnectionError),
        (errors.TaskCancelledError, concurrent.futures.CancelledError),
        (errors.MissingExtraError, ImportError),
    ],
)
def test_what_callers_catch_today_still_catches(kind: type[FlameError], base: type) -> None:
    assert issubclass(kind, base)
