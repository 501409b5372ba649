"""Fixtures of the vm tests."""

import pytest
from vm_rig import elf


@pytest.fixture
def program(tmp_path):
    """program(words or bytes, **elf arguments): path of an ELF."""

    def make(code, **arguments):
        file = tmp_path / f"guest{len(list(tmp_path.iterdir()))}.elf"
        file.write_bytes(elf(code, **arguments))
        return file

    return make
