"""device tree: what the guest is told of its machine, as a flattened tree by the `fdt` library. Shapes as QEMU's `virt`."""

from __future__ import annotations

import fdt

from gnomon.vm.devices import CLINT_BASE, CLINT_SIZE, FINISHER_BASE, FINISHER_SIZE, RAM_BASE, UART_BASE, UART_SIZE

TIMEBASE_HZ = 10_000_000
ISA = "rv64imac_zicntr_zicsr_zifencei"
CPU_INTC = 1  # phandles: CPU_INTC + hart
FINISHER = 100


def _cells(*values: int) -> list[int]:
    return [part for value in values for part in (value >> 32, value & 0xFFFFFFFF)]


def _node(tree: fdt.FDT, path: str, name: str, **properties) -> str:
    node = fdt.Node(name)
    for key, value in properties.items():
        if key != "device_type":  # the one property of ours that has an underscore
            key = key.replace("__", "#").replace("_", "-")
        match value:
            case None:
                node.append(fdt.Property(key))
            case str():
                node.append(fdt.PropStrings(key, value))
            case tuple():
                node.append(fdt.PropStrings(key, *value))
            case _:
                node.append(fdt.PropWords(key, *value))
    tree.add_item(node, path)
    return f"{path.rstrip('/')}/{name}"


def device_tree(memory: int, harts: int, bootargs: str = "", initrd: tuple[int, int] | None = None, supervisor: bool = False) -> bytes:
    """The blob for a machine of `memory` bytes and `harts` harts. `initrd` = (start, end) guest physical addresses."""
    tree = fdt.FDT()
    tree.root.append(fdt.PropWords("#address-cells", 2))
    tree.root.append(fdt.PropWords("#size-cells", 2))
    tree.root.append(fdt.PropStrings("compatible", "riscv-virtio"))
    tree.root.append(fdt.PropStrings("model", "gnomon,virt"))
    uart = f"serial@{UART_BASE:x}"
    chosen = fdt.Node("chosen")
    chosen.append(fdt.PropStrings("stdout-path", f"/soc/{uart}"))
    if bootargs:
        chosen.append(fdt.PropStrings("bootargs", bootargs))
    if initrd:
        chosen.append(fdt.PropWords("linux,initrd-start", *_cells(initrd[0])))
        chosen.append(fdt.PropWords("linux,initrd-end", *_cells(initrd[1])))
    tree.add_item(chosen, "/")
    _node(tree, "/", f"memory@{RAM_BASE:x}", device_type="memory", reg=_cells(RAM_BASE, memory))
    _node(tree, "/", "cpus", __address_cells=[1], __size_cells=[0], timebase_frequency=[TIMEBASE_HZ])
    for hart in range(harts):
        cpu = _node(tree, "/cpus", f"cpu@{hart:x}", device_type="cpu", compatible="riscv", reg=[hart], status="okay", mmu_type="riscv,sv39")
        tree.get_node(cpu).append(fdt.PropStrings("riscv,isa", ISA))  # a name with a comma
        _node(
            tree,
            cpu,
            "interrupt-controller",
            __interrupt_cells=[1],
            interrupt_controller=None,
            compatible="riscv,cpu-intc",
            phandle=[CPU_INTC + hart],
        )
    soc = _node(tree, "/", "soc", __address_cells=[2], __size_cells=[2], compatible="simple-bus", ranges=None)
    _node(tree, soc, uart, compatible="ns16550a", reg=_cells(UART_BASE, UART_SIZE), clock_frequency=[3_686_400])
    finisher = ("sifive,test1", "sifive,test0", "syscon")
    _node(tree, soc, f"test@{FINISHER_BASE:x}", compatible=finisher, reg=_cells(FINISHER_BASE, FINISHER_SIZE), phandle=[FINISHER])
    if not supervisor:
        lines = [word for hart in range(harts) for word in (CPU_INTC + hart, 3, CPU_INTC + hart, 7)]
        clint = ("sifive,clint0", "riscv,clint0")
        _node(tree, soc, f"clint@{CLINT_BASE:x}", compatible=clint, reg=_cells(CLINT_BASE, CLINT_SIZE), interrupts_extended=lines)
        _node(tree, "/", "poweroff", compatible="syscon-poweroff", regmap=[FINISHER], offset=[0], value=[0x5555])
        _node(tree, "/", "reboot", compatible="syscon-reboot", regmap=[FINISHER], offset=[0], value=[0x7777])
    return tree.to_dtb(version=17)
