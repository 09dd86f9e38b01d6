"""Run by the official SDK's Python: a runner on our cluster, with what came back as JSON."""

import json
import os
import sys
import tempfile

from flamepy.runner import Runner

os.chdir(tempfile.mkdtemp())


def square(number):
    return number * number


class Counter:
    def __init__(self, value):
        self.value = value

    def add(self, number):
        self.value += number
        return self.value


with Runner("peer-runner") as runner:
    service = runner.service(square)
    futures = [service(number) for number in range(4)]
    seen = {"results": runner.get(futures), "chained": service(futures[3]).get()}
    seen["state"] = runner.service(Counter(2)).add(4).get()
json.dump(seen, sys.stdout)
