"""placement: where in RAM the initial ramdisk and the device tree lie, beside the guest's own segments."""

from __future__ import annotations

from gnomon.errors import GnomonError
from gnomon.lang import PAGE_SIZE
from gnomon.vm.devices import RAM_BASE
from gnomon.vm.image import Segment

TREE_ROOM = 2 << 20


def ramdisk_segment(path, memory: int, placed: list[Segment]) -> Segment:
    """The file at `path` as a segment below the room for the tree. Raises GnomonError: cannot be read, or meets what is placed."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise GnomonError(f"{path}: cannot be read: {error.strerror}", exit_code=2) from error
    gpa = (RAM_BASE + memory - TREE_ROOM - len(data)) & ~(PAGE_SIZE - 1)
    if any(s.gpa + s.size > gpa for s in placed):
        raise GnomonError(f"{path}: {len(data)} bytes do not fit beside the guest in {memory} bytes of RAM", exit_code=2)
    return Segment(gpa, data, len(data))


def tree_address(size: int, memory: int, placed: list[Segment]) -> int:
    """Where a device tree of `size` bytes goes, at the end of RAM. Raises GnomonError when the guest lies there."""
    end = RAM_BASE + memory
    room = TREE_ROOM if memory >= 4 * TREE_ROOM else -(-size // PAGE_SIZE) * PAGE_SIZE
    at = end - room
    if any(s.gpa < at + size and at < s.gpa + s.size for s in placed):
        raise GnomonError(f"no room for the device tree: {size} bytes at {at:#x} belong to the guest", hint="give it more --memory")
    return at
