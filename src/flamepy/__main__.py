"""``python -m flamepy`` is the command ``flamepy``."""

from flamepy.cli.main import main

main()
