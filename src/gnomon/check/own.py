"""own: a user's own file of scenarios: `mystack.py:naive` is what the function naive() of that file returns.

The file is imported under its own name, as by `import mystack` in its folder, so that overrides such as "mystack.TAGS" mean its constants.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path

from gnomon.check.scenario import Scenario
from gnomon.errors import GnomonError

DEFAULT = "scenario"
"""The function that a name without one means."""


class OwnFileError(ValueError):
    """A file or function that makes no scenario: says why."""


def is_own(name: str) -> bool:
    """Whether a scenario's name is that of a file."""
    return name.partition(":")[0].endswith(".py")


def build_own(name: str) -> Scenario:
    """The scenario of `FILE.py` or `FILE.py:FUNCTION`. Raises OwnFileError, and OSError for a file that cannot be read."""
    function = _function(name)
    try:
        made = function()
    except GnomonError:
        raise
    except Exception as error:
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise OwnFileError(f"{name} makes no scenario{_where(error, name)}: {kind}{error}") from error
    if not isinstance(made, Scenario):
        raise OwnFileError(f"{name} does not return a Scenario but a {type(made).__name__}")
    made.name = name
    return made


def about_own(name: str) -> str:
    """The first line of what the function says of itself."""
    return (_function(name).__doc__ or "").strip().partition("\n")[0]


def _where(error: Exception, name: str) -> str:
    """The last line of the user's own file on the way to an error."""
    file = str(Path(name.partition(":")[0]).resolve())
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f", line {lines[-1]}" if lines else ""


def _function(name: str):
    file, _, wanted = name.partition(":")
    module = _module(Path(file))
    made = getattr(module, wanted or DEFAULT, None)
    if not callable(made):
        raise OwnFileError(f"{file} has no function {wanted or DEFAULT}()")
    return made


def _module(path: Path):
    name, path = path.stem, path.resolve()
    loaded = sys.modules.get(name)
    if loaded is not None:
        if getattr(loaded, "__file__", None) == str(path):
            return loaded
        raise OwnFileError(f"{path.name} has the name of a module that is loaded already; call it something else")
    path.read_bytes()  # says best why it cannot
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        where = f":{error.lineno}" if isinstance(error, SyntaxError) else ""
        raise OwnFileError(f"{path.name}{where} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.parent))
    return module
