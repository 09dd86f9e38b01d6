"""``python -m flamepy.runner``: the check of ``flamepy.runner.e2e``."""

from flamepy.runner.e2e import main

raise SystemExit(main())
