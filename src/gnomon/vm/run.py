"""run: what a hart's thread executes: guest code until its owner is wanted. Devices, firmware and sleep are served in here.

Returns RUN_* to the thread's Python loop: RUN_REQUEST (pause), RUN_ENDED (the guest ended the machine), RUN_BUSY (the console is
full), RUN_NOMEM (the frame pool is empty: the instruction is tried again after the owner has waited or reclaimed).

Context    the hart's own thread, outside guest mode, no lock
"""

from __future__ import annotations

from gnomon.hart.execute import hart_run
from gnomon.hart.exits import EXIT_MMIO, EXIT_NOMEM, EXIT_REQUEST, EXIT_SBI, EXIT_WFI, mmio_complete
from gnomon.hart.hsm import hsm_wait
from gnomon.hart.interrupt import hart_wake, wfi_wait
from gnomon.hart.state import HART, HSM_STARTED
from gnomon.hart.trap import mmio_fault
from gnomon.lang import kernel
from gnomon.lang.arith import sdiv
from gnomon.lang.atomics import fetch_and, fetch_or, load_acquire, read_once, write_once
from gnomon.lang.host import futex_wait, monotonic_ns
from gnomon.mmu.ring import ring_is_full
from gnomon.mmu.vcpu import REQ_PAUSE, REQ_RING, VCPU
from gnomon.mmu.vm_words import VM
from gnomon.vm.bus import BUS_BUSY, BUS_FAULT, bus_access
from gnomon.vm.devices import DEV
from gnomon.vm.finish import htif_poll
from gnomon.vm.firmware import MAX_SLEEP_NS, serve_sbi

RUN_REQUEST, RUN_ENDED, RUN_BUSY, RUN_NOMEM = 1, 2, 3, 4
SLICE = 20_000
"""Instructions between two looks at the machine's own words (ended, HTIF, throttle)."""
MAX_THROTTLE_NS = 5_000_000
RING_NAP_NS = 200_000
"""How often a vCPU with a full ring looks whether it was reset."""


@kernel
def throttle(m, vm, v, ran_ns):
    """Keep the hart from running for its share of VM throttle percent; a pause request ends the wait at once."""
    percent = read_once(m, vm + DEV.throttle)
    owed = sdiv(ran_ns * percent, 100 - percent)
    while owed > 0:
        seen = load_acquire(m, v + HART.wake)  # before the look at requests, pairs with hart_wake(): forbids sleeping through a pause
        if read_once(m, v + VCPU.requests) & REQ_PAUSE:
            return 0
        part = owed if owed < MAX_THROTTLE_NS else MAX_THROTTLE_NS
        futex_wait(m, v + HART.wake, seen, part)
        owed -= part
    return 0


@kernel
def ring_wait(m, v):
    """The vCPU's dirty ring is full: wait until its entries are reset, the log is switched off, or a pause is wanted."""
    write_once(m, v + VCPU.ring_waits, read_once(m, v + VCPU.ring_waits) + 1)
    fetch_and(m, v + VCPU.requests, ~REQ_RING)  # first: a push from here on asks again
    while ring_is_full(m, v):
        seen = load_acquire(m, v + HART.wake)  # before the look at requests, as in throttle()
        if read_once(m, v + VCPU.requests) & REQ_PAUSE:
            return 0
        futex_wait(m, v + HART.wake, seen, RING_NAP_NS)  # whoever resets the ring wakes nobody: this polls
    return 0


@kernel(entry=True)
def vcpu_run(m, v):
    """Run the hart until its owner is wanted. Returns RUN_*."""
    vm = read_once(m, v + VCPU.vm)
    while True:
        started = monotonic_ns()
        if read_once(m, v + HART.hsm) != HSM_STARTED and hsm_wait(m, v, MAX_SLEEP_NS) == 0:
            code = EXIT_REQUEST  # stopped by SBI: only its owner's requests concern it
        else:
            code = hart_run(m, v, SLICE)
        if code == EXIT_MMIO:
            outcome = bus_access(m, v)
            if outcome == BUS_BUSY:
                return RUN_BUSY
            if outcome == BUS_FAULT:
                mmio_fault(m, v)
            else:
                mmio_complete(m, v, read_once(m, v + HART.mmio_value))
        elif code == EXIT_SBI:
            serve_sbi(m, v)
        elif code == EXIT_WFI:
            wfi_wait(m, v, MAX_SLEEP_NS)
        elif code == EXIT_NOMEM:
            return RUN_NOMEM
        elif code == EXIT_REQUEST and read_once(m, v + VCPU.requests) & REQ_PAUSE:
            return RUN_REQUEST
        if read_once(m, v + VCPU.requests) & REQ_RING:
            ring_wait(m, v)
        if read_once(m, vm + DEV.htif_tohost) >= 0 and read_once(m, v + VCPU.hart_id) == 0:  # one hart, or requests are served twice
            htif_poll(m, vm, read_once(m, v + VCPU.thread))
        if read_once(m, vm + DEV.ended):
            return RUN_ENDED
        if read_once(m, vm + DEV.throttle):
            throttle(m, vm, v, monotonic_ns() - started)


@kernel(entry=True)
def request_pause(m, vm):
    """Ask every hart to leave vcpu_run with RUN_REQUEST, also one that sleeps."""
    for i in range(read_once(m, vm + VM.harts)):
        v = read_once(m, vm + VM.vcpus + i)
        fetch_or(m, v + VCPU.requests, REQ_PAUSE)
        hart_wake(m, v)
    return 0


@kernel(entry=True)
def clear_pause(m, vm):
    """Let the harts run again."""
    for i in range(read_once(m, vm + VM.harts)):
        fetch_and(m, read_once(m, vm + VM.vcpus + i) + VCPU.requests, ~REQ_PAUSE)
    return 0
