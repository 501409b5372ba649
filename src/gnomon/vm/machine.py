"""Machine: a multi-hart RISC-V guest on shadow page tables, as a Python object.

    with Machine(128 << 20, harts=2, console=sys.stdout.buffer.write) as machine:
        code = machine.load("guest.elf").start().wait()

One OS thread a hart (compiled code, GIL released) and one for the console. The thread that calls these methods never runs guest
code, so Ctrl-C reaches it at once.
"""

from __future__ import annotations

from collections.abc import Callable

from gnomon.errors import GnomonError
from gnomon.hart.state import DECODE_WORDS, HART, HSM_STOPPED, hart_reset
from gnomon.lang import PAGE_SIZE, PAGE_WORDS
from gnomon.lang.host import monotonic_ns
from gnomon.mem.frames import run_alloc_n
from gnomon.mmu.designs import parse
from gnomon.mmu.setup import vcpu_create, vm_clear, vm_create
from gnomon.mmu.tunings import tune
from gnomon.mmu.vm_words import MAX_HARTS, VM
from gnomon.vm import state
from gnomon.vm.device_tree import device_tree
from gnomon.vm.devices import DEV, RAM_BASE
from gnomon.vm.dirty_log import INITIALLY_SET, DirtyLog
from gnomon.vm.harts import HartThreads
from gnomon.vm.host import Host
from gnomon.vm.image import Segment, read_image
from gnomon.vm.memory_map import MemoryMap
from gnomon.vm.placement import ramdisk_segment, tree_address
from gnomon.vm.ram import GuestRam
from gnomon.vm.statistics import statistics

LEAST_MEMORY = 1 << 20
MOST_MEMORY = 128 << 30
SHADOW_PERMILLE = 20
LEAST_SHADOW_PAGES = 64
"""KVM_MIN_ALLOC_MMU_PAGES."""
SPARE_FRAMES = 2048
"""Frames of a machine's own host beyond RAM, its tables and its shadow pages: slabs, stacks of free objects, watermarks."""


def default_shadow_pages(memory: int) -> int:
    """n_max_mmu_pages: 2 % of RAM's pages as KVM has it (KVM_PERMILLE_MMU_PAGES), but what bare-mode tables need at least."""
    return max(LEAST_SHADOW_PAGES, memory // PAGE_SIZE * SHADOW_PERMILLE // 1000)


def _frames_needed(ram_pages: int, harts: int, shadow_pages: int) -> int:
    """Frames of a host that has this machine alone."""
    tables = ram_pages * 3 // PAGE_WORDS + (ram_pages // 32 + ram_pages // 256) // PAGE_WORDS + 64
    hart_frames = harts * (DECODE_WORDS // PAGE_WORDS + 8)
    frames = ram_pages + tables + hart_frames + shadow_pages * 2 + SPARE_FRAMES
    return frames + (frames + 128 * PAGE_WORDS) // PAGE_WORDS  # the frame words, and the fixed map


class Machine(GuestRam):
    """`memory` bytes of RAM at 0x8000_0000, `harts` harts, on the layout of QEMU's `virt` machine. What it does with RAM is in GuestRam.

    console       called with bytes of guest output, on a thread of its own
    shadow_pages  n_max_mmu_pages; None for 2 % of RAM's pages
    host          share this Host with other machines; None for one of its own
    design        which choice of each axis of the design space runs: "reclaim=call-rcu,guard=fixup"; gnomon.mmu.axes lists them
    tuning        numbers beside it: "section=64,defer-limit=100" (gnomon.mmu.tunings); those of RCU hold for the whole host
    debug         poison freed memory and count what writes to it

    Raises GnomonError for impossible sizes and designs."""

    def __init__(
        self,
        memory: int,
        harts: int = 1,
        *,
        name: str | None = None,
        host: Host | None = None,
        console: Callable[[bytes], object] | None = None,
        shadow_pages: int | None = None,
        design: str = "",
        tuning: str = "",
        debug: bool = False,
    ):
        if memory % PAGE_SIZE or not LEAST_MEMORY <= memory <= MOST_MEMORY:
            raise GnomonError(
                f"memory of a machine is {LEAST_MEMORY} to {MOST_MEMORY} bytes in whole pages of {PAGE_SIZE}: {memory}", exit_code=2
            )
        if not 1 <= harts <= min(MAX_HARTS, 48):
            raise GnomonError(f"a machine has 1 to 48 harts: {harts}", exit_code=2)
        chosen, tuned = parse(design), tune(tuning)
        if shadow_pages is not None and shadow_pages < LEAST_SHADOW_PAGES:
            raise GnomonError(f"a machine needs at least {LEAST_SHADOW_PAGES} shadow pages: {shadow_pages}", exit_code=2)
        self.memory, self.harts, self.name = memory, harts, name
        ram_pages, self.base_gfn = memory // PAGE_SIZE, RAM_BASE // PAGE_SIZE
        self.shadow_pages = shadow_pages or default_shadow_pages(memory)
        self.host = host or Host(_frames_needed(ram_pages, harts, self.shadow_pages), debug=debug)
        arena = self.host.arena
        slots = self._thread_slots(1 + harts)
        vm = vm_create(arena, self.base_gfn, ram_pages, self.shadow_pages)
        self.vcpus = [vm and vcpu_create(arena, vm, t) for t in slots[1:]]
        decode = [run_alloc_n(arena, DECODE_WORDS // PAGE_WORDS) * PAGE_WORDS for _ in range(harts)]
        super().__init__(arena, vm, ram_pages, slots[0])
        if not (vm and all(self.vcpus) and all(decode) and self._stage):
            for t in slots:
                self.host.thread_exit(t)
            raise GnomonError(f"the host's pool has no room for the tables of a machine of {memory} bytes")
        words = arena.words
        words[vm + VM.design] = chosen
        for tuning_of, number in tuned.items():
            words[tuning_of.at + vm * tuning_of.of_machine] = number
        words[vm + DEV.htif_tohost] = words[vm + DEV.htif_fromhost] = -1
        for number, (v, at) in enumerate(zip(self.vcpus, decode, strict=True)):
            hart_reset(arena, v, number, RAM_BASE, 0, at)
        self._decode = decode
        self._log = DirtyLog(arena, vm, self._thread, ram_pages, self._lock)
        self._map = MemoryMap(arena, vm, ram_pages)
        self._threads = HartThreads(self.host, vm, self.vcpus, slots[1:], console)

    def _thread_slots(self, count: int) -> list[int]:
        slots: list[int] = []
        try:
            while len(slots) < count:
                slots.append(self.host.thread())
        except GnomonError:
            for t in slots:
                self.host.thread_exit(t)
            raise
        return slots

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *exception) -> None:
        self.stop()

    # What it runs

    def load(self, path, *, bootargs: str = "", start: str = "auto", initrd=None) -> Machine:
        """Place the guest at `path` and its device tree; a0 = hart id, a1 = device tree.

        start   "m" or "s": the mode it starts in; "auto": S-mode, with Gnomon as SBI firmware, if its entry is 0x8020_0000 or above
        Raises GnomonError, the machine unchanged, for a bad file, or when the machine was started already."""
        if start not in ("auto", "m", "s"):
            raise GnomonError(f"start is auto, m or s: {start}", exit_code=2)
        self._not_started("load a guest")
        image = read_image(path, self.memory)
        supervisor = image.supervisor if start == "auto" else start == "s"
        placed, ramdisk = list(image.segments), None
        if initrd is not None:
            segment = ramdisk_segment(initrd, self.memory, placed)
            placed.append(segment)
            ramdisk = (segment.gpa, segment.gpa + segment.size)
        tree = device_tree(self.memory, self.harts, bootargs, ramdisk, supervisor)
        at = tree_address(len(tree), self.memory, placed)
        with self._lock:
            for segment in [*placed, Segment(at, tree, len(tree))]:
                self._place(segment)
            words = self.arena.words
            for ram_field, symbol in ((DEV.htif_tohost, image.tohost), (DEV.htif_fromhost, image.fromhost)):
                in_ram = symbol is not None and 0 <= symbol - RAM_BASE <= self.memory - 8 and symbol & 7 == 0  # never across two frames
                words[self.vm + ram_field] = symbol - RAM_BASE if in_ram else -1
            now = monotonic_ns()
            for number, (v, decode) in enumerate(zip(self.vcpus, self._decode, strict=True)):
                hart_reset(self.arena, v, number, image.entry, int(supervisor), decode)
                words[v + HART.x + 11] = at
                words[v + HART.time_offset_ns] = now
                if supervisor and number:
                    words[v + HART.hsm] = HSM_STOPPED
        return self

    # Life

    def _not_started(self, what: str) -> None:
        if self._threads.started:
            raise GnomonError(f"cannot {what}: the machine was started already")

    def start(self) -> Machine:
        """Let the harts run. Raises GnomonError when they did already."""
        self._not_started("start")
        self._threads.start()
        return self

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit code once the guest has ended, None if `timeout` seconds were not enough or it was stopped."""
        return self._threads.wait(timeout)

    def pause(self) -> None:
        """Return with every hart out of guest mode and parked."""
        with self._lock:
            self._threads.pause()

    def resume(self) -> None:
        """Let parked harts go on."""
        with self._lock:
            self._threads.resume()

    def stop(self) -> None:
        """End the harts' threads for good. What the guest printed is delivered first."""
        self._threads.stop()

    @property
    def exit_code(self) -> int | None:
        """Exit code of the guest, None while it has not ended itself."""
        return self._threads.exit_code

    @property
    def running(self) -> bool:
        """Whether guest code may be executing."""
        return self._threads.started and not self._threads.parked and self.exit_code is None and not self._threads.stopped

    @property
    def paused(self) -> bool:
        """Whether pause() was the last word."""
        return self._threads.parked

    @property
    def state_name(self) -> str:
        """One word for people: new, running, paused, ended, stopped."""
        if not self._threads.started:
            return "new"
        if self.exit_code is not None:
            return "ended"
        if self._threads.stopped:
            return "stopped"
        return "paused" if self.paused else "running"

    def send_console(self, data: bytes) -> None:
        """Type `data` into the guest's console; waits for room, gives up when the machine ends."""
        self._threads.send(data)

    # What it is made of

    @property
    def config(self) -> dict:
        """What a receiver must build to take this machine over."""
        return {"memory": self.memory, "harts": self.harts, "shadow_pages": self.shadow_pages, "name": self.name}

    def dirty_log(self, mode: str = INITIALLY_SET) -> DirtyLog:
        """The machine's dirty log, to be enabled in `mode` (gnomon.vm.dirty_log.MODES)."""
        return self._log.choose(mode)

    def dirty_ring(self, entries: int = 4096, mode: str = INITIALLY_SET) -> DirtyLog:
        """The log with a ring of `entries` for every hart beside the bitmap: a harvest looks at what was written, not at all of RAM.

        A hart whose ring is full waits for the next harvest. The rings' memory, 16 bytes an entry, stays with the machine."""
        return self._log.choose(mode, entries)

    @property
    def logging(self) -> bool:
        """Whether stores are being logged."""
        return self._log.enabled

    def set_throttle(self, percent: int) -> None:
        """Keep the harts from running `percent` (0 … 99) of the time. Raises GnomonError otherwise."""
        if not 0 <= percent <= 99:
            raise GnomonError(f"a throttle is 0 to 99 percent: {percent}", exit_code=2)
        self.arena.words[self.vm + DEV.throttle] = percent

    def stats(self) -> dict:
        """Counters by part: faults, mmu, dirty log, tlb, slabs, frames, RCU, harts."""
        return statistics(self)

    def memory_map(self, cells: int) -> dict:
        """What state the pages are in, as a picture of at most `cells` cells; see memory_map.MemoryMap. Stops no hart, takes no lock."""
        return self._map.picture(cells)

    def get_state(self) -> bytes:
        """Everything but RAM, with every hart parked. Raises GnomonError while they run."""
        self._quiet("read the state")
        return state.save(self.arena, self.vm, self.vcpus)

    def set_state(self, data: bytes) -> None:
        """Take on the state that get_state() gave elsewhere. Raises ValueError, nothing changed, if it does not fit."""
        self._quiet("replace the state")
        parsed = state.parse(data, self.harts)
        state.restore(self.arena, self.vm, self.vcpus, parsed)

    def clear(self) -> None:
        """Give every frame, shadow page and thread slot back to the host, for machines that share one. Its last call: RAM is gone."""
        self.stop()
        with self._lock:
            if self._thread >= 0:
                vm_clear(self.arena, self.vm, self._thread)
                self.host.thread_exit(self._thread)
                self._thread = -1
