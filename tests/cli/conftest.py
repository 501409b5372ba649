import pytest
from cli_rig import Gnomon


@pytest.fixture
def gnomon(tmp_path):
    """`gnomon` on the fake machine, in real processes."""
    made = Gnomon(tmp_path)
    yield made
    made.close()
