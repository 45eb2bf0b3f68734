"""Import of the frameworks that only an extra installs."""

from __future__ import annotations

import importlib
from types import ModuleType

# What a package is called where it is installed from, if not as it is imported.
_DISTRIBUTIONS = {"sklearn": "scikit-learn"}


class MissingExtraError(ImportError):
    """A module is missing that an extra of this package installs."""


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import `module`, or say which extra installs it.

    An import that fails for any other reason, inside the framework itself, is
    raised as it is: the extra would not help there.

    Args:
      module: the module's full name, for instance `"flax.linen"`.
      extra: the extra of this package that installs it.
      purpose: what needs it; the message begins with it.

    Returns:
      The imported module.

    Raises:
      MissingExtraError: if the module's top-level package is not installed.

    Examples:
      >>> require("json", "sweep", "this example").dumps([1])
      '[1]'
      >>> require("no_such_module", "sweep", "this example")
      Traceback (most recent call last):
      ...
      optax_cycles._extras.MissingExtraError: this example needs no_such_module: \
pip install "optax-cycles[sweep]"
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        name = _DISTRIBUTIONS.get(package, package)
        raise MissingExtraError(
            f'{purpose} needs {name}: pip install "optax-cycles[{extra}]"'
        ) from error
