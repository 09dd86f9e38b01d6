"""A gate lets every waiting thread through when it opens."""

from __future__ import annotations

import threading

from support.waiting import eventually

from flamepy.informers.outcomes.breaker import Breaker
from flamepy.informers.outcomes.gate import Gate
from flamepy.runtime.flags import Flag


def test_a_thread_that_looks_while_another_one_does_passes_all_the_same() -> None:
    gate, passed = Gate(Breaker(None, 1.0), Flag()), []
    gate.pause("repair")
    thread = threading.Thread(target=lambda: passed.append(gate.passes()), daemon=True)
    thread.start()
    eventually(lambda: gate._waiting)
    assert gate._claims.take("breaker")  # as a thread has it that looks just now
    gate.resume()
    thread.join(0.1)
    assert passed == []
    gate._claims.give_back("breaker")
    thread.join(20)
    assert passed == [True]
