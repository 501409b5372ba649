"""The interpreted twin of the whole run loop: does it do to a guest what the compiled one does?"""

import numpy as np
import pytest
from vm_rig import MIB, machine

from gnomon.guests import path
from gnomon.hart.execute import hart_run
from gnomon.hart.state import HART
from gnomon.lang import twin
from gnomon.lang.kernel import compile_kernel
from gnomon.vm.run import RUN_ENDED, vcpu_run

STEPS = 3000


@pytest.mark.parametrize("name", ["isa/alu", "isa/memory", "isa/walk"])
def test_do_both_worlds_execute_a_guest_alike(name):
    """A few thousand instructions of an instruction test: same registers, same RAM, same device state."""
    compile_kernel(hart_run)
    with machine(path(name)) as compiled, machine(path(name)) as interpreted:
        for made, run in ((compiled, hart_run), (interpreted, twin(hart_run))):
            run(made.arena, made.vcpus[0], STEPS)
        states = [made.arena.words[made.vcpus[0] + HART.x : made.vcpus[0] + HART.decode].copy() for made in (compiled, interpreted)]
        at = HART.instret - HART.x
        assert states[0][at] >= 1000
        assert np.array_equal(*states)
        assert compiled.ram_hash() == interpreted.ram_hash()


def test_does_the_twin_of_the_run_loop_run_a_guest_to_its_end():
    """vcpu_run interpreted: console, finisher and exit code as compiled."""
    with machine(path("fail"), memory=2 * MIB) as made:
        assert twin(vcpu_run)(made.arena, made.vcpus[0]) == RUN_ENDED
        from gnomon.vm.devices import DEV

        assert int(made.arena.words[made.vm + DEV.ended]) == 8
