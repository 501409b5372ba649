"""tunings: the numbers beside a design: how long, how many, how often, by name.

tune("section=64,defer-limit=100")      each number's place and value
"""

from __future__ import annotations

from dataclasses import dataclass

from gnomon.errors import GnomonError
from gnomon.lang.fixed import RCU_AT
from gnomon.mmu.vm_words import VM
from gnomon.sync.state import RCU


@dataclass(frozen=True)
class Tuning:
    """A number beside the design: a word of the machine (VM) or of RCU, which all machines of a host share."""

    name: str
    of_machine: bool
    at: int
    least: int
    what: str


TUNINGS = (
    Tuning("section", True, VM.section, -1, "rmaps a lockless protector walks in one read section; 0: 64, -1: the whole slot"),
    Tuning("defer-limit", True, VM.defer_limit, 0, "call-rcu-throttled: slow faults stall while so many pages are deferred; 0: never"),
    Tuning("barrier-every", True, VM.barrier_every, 0, "call-rcu-throttled: an RCU barrier every that many zapped pages; 0: none"),
    Tuning("blimit", False, RCU_AT + RCU.blimit, 1, "callbacks a batch"),
    Tuning("qhimark", False, RCU_AT + RCU.qhimark, 0, "growth of a callback queue that is a flood; 0: none is"),
    Tuning("qlowmark", False, RCU_AT + RCU.qlowmark, 0, "length at which a flood is over"),
    Tuning("qovld", False, RCU_AT + RCU.qovld, 0, "length above which whoever queues drives grace periods; 0: never"),
    Tuning("divisor", False, RCU_AT + RCU.divisor, 0, "a batch is at least the queue's length >> divisor"),
    Tuning("expedite", False, RCU_AT + RCU.expedite, 0, "1: every call_rcu() drives grace periods"),
)


def tune(text: str) -> dict[Tuning, int]:
    """The numbers of "name=number,…". Raises GnomonError, naming what there is."""
    known = {tuning.name: tuning for tuning in TUNINGS}
    found = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = item.partition("=")
        if name not in known:
            raise GnomonError(f"nothing to tune named: {name}", f"one of {', '.join(known)}", exit_code=2)
        if not number.removeprefix("-").isdigit() or not known[name].least <= int(number) < 1 << 40:
            raise GnomonError(f"{name} is a number from {known[name].least}: {number or 'nothing'}", known[name].what, exit_code=2)
        found[known[name]] = int(number)
    return found
