"""``python -m kubevip``."""

import sys

from kubevip.cli import main

sys.exit(main())
