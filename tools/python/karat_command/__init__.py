"""The command `karat` of a wheel: the executable beside the package, without loading the package."""

import os
import sys
from importlib.util import find_spec


def main() -> None:
    package = find_spec("karat")
    assert package is not None and package.origin is not None
    executable = os.path.join(os.path.dirname(package.origin), "bin", "karat")
    if not os.path.exists(executable):
        sys.exit("karat: this installation holds the library alone; build the command line "
                 "(cmake --preset release) or install a wheel")
    os.execv(executable, ["karat", *sys.argv[1:]])
