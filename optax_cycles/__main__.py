"""`python -m optax_cycles`: the same as the command `optax-cycles`."""

import sys

from optax_cycles.cli import main

sys.exit(main())
