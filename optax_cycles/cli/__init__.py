"""The command `optax-cycles`."""

from optax_cycles.cli.main import main as main
