"""`gnomon` on the machine of tests/migrate/fake_machine.py: the whole command line in real processes, without an MMU to compile."""

import sys
import types
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "migrate"))
import fake_machine

sys.modules["gnomon.vm.machine"] = types.SimpleNamespace(Machine=fake_machine.Machine)

from gnomon.cli import demo, warming  # noqa: E402  after the machine is replaced
from gnomon.cli.main import main  # noqa: E402

warming.warm = lambda: None
demo.GNOMON = (sys.executable, __file__)
main()
