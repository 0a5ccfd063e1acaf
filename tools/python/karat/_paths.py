"""Where the C interface lies, for programs that are compiled against it."""

import os
from glob import glob

_FOLDER = os.path.dirname(__file__)


def get_include() -> str:
    """The folder to compile with: -I; it holds karat/karat.h."""
    return os.path.join(_FOLDER, "include")


def get_library() -> str:
    """The shared library to link with."""
    return glob(os.path.join(_FOLDER, "libkarat.so.*"))[0]
