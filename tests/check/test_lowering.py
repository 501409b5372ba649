"""Does the lowered form mean what the interpreted twin and the machine code mean?"""

import random
import types

import pytest

from gnomon.check.frontend import OutsideDialect
from gnomon.check.machine import Machine, compile_scenario
from gnomon.check.scenario import Scenario, call
from gnomon.check.source import Source
from gnomon.lang import Arena, kernel, twin
from gnomon.lang.kernel import KERNELS
from gnomon.vm.run import vcpu_run

from . import kernels_under_test as kernels

VALUES = (0, 1, 2, 3, 5, -1, -4, 63, 64, 255, 1 << 31, -(1 << 31), 1 << 40, (1 << 63) - 1, -(1 << 63))
RESULTS_AT = 256


def lowered_memory(calls, **overrides):
    """Memory after a lowered single thread ran the calls, their results in the words from RESULTS_AT."""
    scenario = Scenario("differential", words=512, **overrides)
    scenario.thread("one", *(call(k, *args, into=RESULTS_AT + n) for n, (k, args) in enumerate(calls)))
    machine = Machine(scenario, compile_scenario(scenario), "sc", 0, 256, None)
    machine.start()
    while machine.pc(0):
        assert machine.step(0) in (0, 2)
    return [machine.word(at) for at in range(64, 512)]


def python_memory(calls, run):
    arena = Arena(512)
    for n, (k, args) in enumerate(calls):
        arena.words[RESULTS_AT + n] = run(k)(arena, *args)
    return arena.words[64:512].tolist()


@pytest.mark.parametrize("seed", range(25))
def test_do_lowered_interpreted_and_compiled_code_leave_equal_memory(seed):
    rng = random.Random(seed)
    calls = []
    for _ in range(rng.randint(1, 8)):
        k = rng.choice([kernels.mix, kernels.rotate, kernels.nest, kernels.narrow])
        small = rng.random() < 0.5
        calls.append((k, tuple(rng.randint(-6, 9) if small else rng.choice(VALUES) for _ in range(2))))
    expected = python_memory(calls, lambda k: k)
    assert python_memory(calls, twin) == expected
    assert lowered_memory(calls) == expected


def test_does_an_override_hold_in_lowered_and_interpreted_code():
    name = f"{kernels.__name__}.ROUNDS"
    source = Source({name: 1})
    calls = [(kernels.mix, (9, 4)), (kernels.rotate, (3, 1))]
    assert lowered_memory(calls, constants={name: 1}) == python_memory(calls, source.interpreted) != python_memory(calls, twin)


@kernel
def no_side(m, a):
    """A mutant of choose_side."""
    return a


def test_does_a_replacement_hold_in_lowered_and_interpreted_code():
    source = Source(replace={kernels.choose_side: no_side})
    calls = [(kernels.nest, (5, 6))]
    assert lowered_memory(calls, replace={kernels.choose_side: no_side}) == python_memory(calls, source.interpreted)


def test_is_every_kernel_of_the_run_engine_inside_the_dialect():
    """Down to the hart's loop: what it stores for the guest, it could store in the explorer."""
    source, engine = Source(), [k for name, k in KERNELS.items() if name.startswith("gnomon.")]
    assert vcpu_run in engine
    for k in engine:
        assert source.lower(k).blocks


OUTSIDE = {
    "subscript": ("def k(m, a):\n    return m.words[a]\n", "only layout fields and a module's constants have a dot"),
    "string": ("def k(m, a):\n    return 'a'\n", "constant 'a' is not an int"),
    "division": ("def k(m, a):\n    return a // 2\n", "expression binop is not in the dialect"),
    "unknown": ("def k(m, a):\n    return print(a)\n", "print is not an int, a layout, a kernel or a primitive"),
    "step": ("def k(m, a):\n    for i in range(0, 9, a):\n        a = i\n    return a\n", "the step of a range is a constant other than 0"),
    "wake of some": ("def k(m, a):\n    return futex_wake(m, a, 3)\n", r"futex_wake\(\) wakes one, or at least 8"),
}


@pytest.mark.parametrize("what", OUTSIDE)
def test_is_a_kernel_outside_the_dialect_refused_with_its_line(what, tmp_path):
    text, reason = OUTSIDE[what]
    file = tmp_path / "odd.py"
    file.write_text("from gnomon.lang.host import futex_wake\n" + text)
    module = types.ModuleType("odd")
    exec(compile(file.read_text(), str(file), "exec"), module.__dict__)
    with pytest.raises(OutsideDialect, match=rf"odd\.py:[2-4] {reason}"):
        Source().lower(module.k)


@pytest.mark.parametrize("name", ["nowhere.X", "gnomon.lang.fixed.NOTHING", "MAX_THREADS", f"{kernels.__name__}.PAIR"])
def test_is_an_unknown_constant_refused(name):
    with pytest.raises(ValueError, match="constant"):
        Source({name: 1})


def test_is_recursion_refused():
    def around(m, a):
        return again(m, a)

    again = kernel(around)
    around.__globals__["again"] = again
    try:
        with pytest.raises(OutsideDialect, match="recursive"):
            Source().lower(again)
    finally:
        del around.__globals__["again"]
