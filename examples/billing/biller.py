"""The process that bills: a reactor with a checkpoint and the sink. The demonstration kills it."""

import os
import sys

from billing import Billing

from flamepy.core import connect
from flamepy.informers import Reactor

endpoint, checkpoint = sys.argv[1:]

with connect(endpoint) as connection, Reactor(connection=connection, checkpoint=checkpoint) as one:
    sink = Billing(url=os.environ["BILLING_DATABASE"], store="events", outbox={"batch_size": 10})
    one.register(sink, uid="billing", application="render")
    one.run()
