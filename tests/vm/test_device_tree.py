"""The device tree, read back: does the guest learn what the machine is?"""

import shutil
import subprocess

import fdt
import numpy as np
import pytest
from vm_rig import MIB, finish, machine

from gnomon.hart.state import HART
from gnomon.vm.device_tree import device_tree
from gnomon.vm.devices import RAM_BASE


@pytest.mark.parametrize("harts", [1, 2, 48])
@pytest.mark.parametrize("supervisor", [False, True])
def test_does_the_tree_say_what_the_machine_is(harts, supervisor):
    """Memory, harts, console, boot arguments and ramdisk are where the specification puts them; the CLINT only without an SBI."""
    blob = device_tree(256 * MIB, harts, "console=ttyS0 a=1", (RAM_BASE + 0x100_0000, RAM_BASE + 0x110_0000), supervisor)
    tree = fdt.parse_dtb(blob)
    assert list(tree.get_property("reg", "/memory@80000000")) == [0, RAM_BASE, 0, 256 * MIB]
    assert tree.get_property("device_type", "/memory@80000000").value == "memory"
    assert tree.get_property("bootargs", "/chosen").value == "console=ttyS0 a=1"
    assert tree.get_property("stdout-path", "/chosen").value == "/soc/serial@10000000"
    assert list(tree.get_property("linux,initrd-end", "/chosen")) == [0, RAM_BASE + 0x110_0000]
    assert tree.get_property("timebase-frequency", "/cpus").value == 10_000_000
    cpus = [node.name for node in tree.get_node("/cpus").nodes]
    assert cpus == [f"cpu@{hart:x}" for hart in range(harts)]
    for hart in range(harts):
        assert tree.get_property("reg", f"/cpus/cpu@{hart:x}").value == hart
        assert tree.get_property("riscv,isa", f"/cpus/cpu@{hart:x}").value.startswith("rv64imac")
        assert tree.get_property("mmu-type", f"/cpus/cpu@{hart:x}").value == "riscv,sv39"
    assert tree.exist_node("/soc/serial@10000000")
    assert tree.exist_node("/soc/test@100000")
    assert tree.exist_node("/soc/clint@2000000") != supervisor


def test_is_it_a_valid_blob():
    """The Device Tree Compiler reads it without a warning of substance, where there is one."""
    if not shutil.which("dtc"):
        pytest.skip("no dtc on this machine: apt install device-tree-compiler")
    made = subprocess.run(["dtc", "-I", "dtb", "-O", "dts"], input=device_tree(64 * MIB, 2), capture_output=True, check=False)
    assert made.returncode == 0, made.stderr


def test_does_a1_point_to_it(program):
    """Every hart starts with its number in a0 and the tree's address in a1; the tree lies in RAM, beyond the guest."""
    with machine(program(finish()), harts=3, bootargs="x=y") as made:
        at = {int(made.arena.words[v + HART.x + 11]) for v in made.vcpus}
        assert [int(made.arena.words[v + HART.x + 10]) for v in made.vcpus] == [0, 1, 2]
        assert len(at) == 1
        page, out = (at.pop() - RAM_BASE) // 4096, np.zeros(4 * 4096, np.uint8)
        made.read_pages(np.arange(page, page + 4), out, np.zeros(4, np.uint8))
        tree = fdt.parse_dtb(out.tobytes())
        assert tree.get_property("bootargs", "/chosen").value == "x=y"
