"""A ``Secret`` is in no text that anything makes of it."""

from __future__ import annotations

import copy
import pickle

import pytest

from flamepy.secret import Secret

WORD = "hunter2-and-more"


def test_no_text_of_it_has_the_secret() -> None:
    secret = Secret(WORD)
    texts = [str(secret), repr(secret), f"{secret}", f"{secret:>10}"]
    texts += [repr({"password": secret}), repr([secret])]
    assert not [one for one in texts if WORD in one]
    assert repr(secret) == "***"


def test_reveal_returns_it_and_copies_share_it() -> None:
    secret = Secret(WORD)
    assert secret.reveal() == WORD
    assert Secret(secret).reveal() == WORD
    assert copy.deepcopy({"one": secret})["one"].reveal() == WORD
    assert copy.copy(secret) is secret


def test_equal_by_text_and_never_equal_to_the_text() -> None:
    assert Secret(WORD) == Secret(WORD)
    assert Secret(WORD) != Secret("other")
    assert Secret(WORD) != WORD
    assert len({Secret(WORD), Secret(WORD)}) == 1
    assert Secret(WORD)
    assert not Secret("")


def test_it_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="is not pickled: pass the name") as caught:
        pickle.dumps(Secret(WORD))
    assert WORD not in str(caught.value)


def test_what_is_no_text_is_refused_and_not_shown() -> None:
    with pytest.raises(TypeError, match="made of a text, got a value of bytes") as caught:
        Secret(WORD.encode())  # type: ignore[arg-type]  # that is the test
    assert WORD not in str(caught.value)
