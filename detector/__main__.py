"""`python -m detector` is `tip-detector`."""

import sys

from detector.cli import main

sys.exit(main())
