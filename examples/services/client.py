"""Call one of the services in this folder: the application's name is the argument."""

import sys

from flamepy.core import create_session
from flamepy.errors import TaskFailedError

with create_session(sys.argv[1], common_data=b"you said ") as session:
    print(session.invoke(b"hello"))
    print(session.invoke(b""))
    try:
        session.invoke(b"fail no wish to")
    except TaskFailedError as error:
        print("failed:", error.message)
