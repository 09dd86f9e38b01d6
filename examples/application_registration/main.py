"""Register an application as attributes and as a manifest, change it, and remove it."""

import sys
import tempfile
from pathlib import Path

from flamepy.core import ApplicationAttributes, FlameError, connect
from flamepy.local import LocalCluster

SERVICE = Path(__file__).resolve().parent.parent / "byte_service" / "service.py"
MANIFEST = f"""
metadata:
  name: from-manifest
spec:
  command: {sys.executable}
  arguments: [{SERVICE}]
  delay_release: 5
"""

with tempfile.TemporaryDirectory() as folder:
    manifest = Path(folder) / "application.yaml"
    manifest.write_text(MANIFEST)
    # The same file is what "flamepy up --app FILE.yaml" takes.
    with LocalCluster(apps=[manifest]) as cluster, connect(cluster.endpoint) as connection:
        attributes = ApplicationAttributes(
            working_directory=folder,
            command="${PYTHON}",
            arguments=[str(SERVICE)],
            environments={"PYTHON": sys.executable},
        )
        connection.register_application("from-code", attributes)
        names = [one.name for one in connection.list_applications()]
        print([name for name in names if name.startswith("from-")])

        for name in ("from-manifest", "from-code"):
            with connection.create_session(name) as session:
                print(name, session.invoke(b"hello"))

        try:
            connection.register_application("from-code", attributes)
        except FlameError as error:
            print("refused:", error.message)

        attributes.description = "shouts"
        connection.update_application("from-code", attributes)
        updated = connection.get_application("from-code")
        print(updated.description if updated else "gone")

        connection.unregister_application("from-code")
        print(connection.get_application("from-code"))
