"""Does the trace of a machine say what its words did, and does looking change none of them?"""

import time
from types import SimpleNamespace

import numpy as np
import pytest
from trace_format import check_file, check_format

from gnomon.errors import GnomonError
from gnomon.hart.state import HART
from gnomon.lang.fixed import FRAMES_AT, RCU_AT
from gnomon.mem.pool import POOL
from gnomon.migrate.rounds import Round
from gnomon.mmu.vm_words import VM
from gnomon.report.machine_trace import MachineTrace, machine_trace, rounds_trace
from gnomon.sync.state import RCU

VCPUS, VM_AT = [8192, 12288], 4096
LONG = 240


@pytest.fixture
def machine():
    return SimpleNamespace(arena=SimpleNamespace(words=np.zeros(1 << 15, np.int64)), vcpus=VCPUS, vm=VM_AT, paused=False)


def until(condition):
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def named(tracer, text):
    with tracer._lock:  # it looks on while we read
        return [e for e in tracer.trace.document()["traceEvents"] if text in e["name"]]


def test_is_each_thing_that_happens_on_its_track(machine):
    words, tracer = machine.arena.words, MachineTrace("vm1")
    tracer.start(machine)
    words[RCU_AT + RCU.counter] = 5
    words[VM_AT + VM.harvested], words[VM_AT + VM.harvests] = 7, 1
    until(lambda: named(tracer, "7 pages harvested"))
    words[FRAMES_AT + POOL.free] = 99
    until(lambda: any(e["args"]["value"] == 99 for e in named(tracer, "free frames")))  # later in a look than the grace period's begin
    words[RCU_AT + RCU.completed] = 5
    until(lambda: named(tracer, "grace period 5"))
    words[VCPUS[1] + HART.instret] = 1000
    until(lambda: [e for e in named(tracer, "hart 1 MIPS") if e["args"]["value"] > 0])
    waited = len(named(tracer, "waiting"))
    machine.paused = True
    until(lambda: len(named(tracer, "waiting")) > waited)  # hart 0 does so from the first look on, until it sees the pause
    before = words.copy()
    tracer.stop()
    assert (words == before).all()
    slices = check_format(tracer.trace.document())
    assert {e["name"] for e in slices["harts/hart 1"]} >= {"waiting", "running", "paused"}
    assert "running" not in {e["name"] for e in slices["harts/hart 0"]}
    assert [e["name"] for e in slices["protector/harvests"]] == ["7 pages harvested"]
    assert [e["name"] for e in slices["RCU/grace periods"]] == ["grace period 5"]


def test_are_the_rounds_of_a_migration_slices_with_their_figures(machine):
    tracer = MachineTrace("vm1")
    tracer.start(machine)
    record = Round(number=1, paused=False, pages=10, zero=2, bytes=100, seconds=0.0, dirty_rate=3.5, throttle=0, done=False)
    tracer.round(record)
    record.done = True
    tracer.round(record)
    tracer.stop()
    (begun,) = check_format(tracer.trace.document())["migration/rounds"]
    assert begun["name"] == "round 1" and begun["args"]["pages"] == 10 and begun["args"]["dirty_rate"] == 3.5


def test_is_a_report_a_trace_of_its_own():
    rounds = [
        {"number": n, "paused": n == 2, "pages": 4, "zero": 0, "bytes": 9, "seconds": 0.5, "dirty_rate": 0.0, "throttle": 0} for n in (1, 2)
    ]
    trace = rounds_trace({"name": "vm1", "peer": "there", "rounds": rounds, "downtime": 0.25})
    slices = check_format(trace.document())
    assert slices["migration/downtime"][0]["ts"] == 750_000 and slices["migration/downtime"][0]["dur"] == 250_000
    assert [e["name"] for e in slices["migration/rounds"]] == ["round 1", "last round 2"]


def test_is_a_trace_written_whatever_ends_the_run_and_refused_before_it(machine, tmp_path):
    with pytest.raises(KeyboardInterrupt), machine_trace(tmp_path / "t.json", "vm1") as tracer:
        tracer.start(machine)
        raise KeyboardInterrupt
    check_file(tmp_path / "t.json")
    with pytest.raises(GnomonError, match="cannot be written: No such file"), machine_trace(tmp_path / "no" / "t.json", "vm1"):
        raise AssertionError("the run has begun")
