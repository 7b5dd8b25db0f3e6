"""`python -m bench.cli`: the same as `streamgauge`."""

import sys

from bench.cli import main

sys.exit(main())
