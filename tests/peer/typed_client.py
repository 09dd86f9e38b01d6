"""Run by either Python: a typed service's client, with what came back as JSON."""

import json
import sys

from flamepy.service import Session

with Session("typed", ctx=1) as session:
    seen = {"echo": session.invoke([1, "a"]), "none": session.invoke(None)}
    seen["count"] = session.invoke("count")
    seen["context"] = session.context()
json.dump(seen, sys.stdout)
