"""scenario: what to explore. Threads are sequences of kernel calls, memory is set up by running kernels, properties are kernels.

s = Scenario("stack/aba", constants={"mystack.NODES": 3})
stack = s.run(stack_init)                          # single-threaded, by the interpreted twin, on a small arena
s.thread("reader", call(pop, stack))
s.thread("writer", call(pop, stack), call(push, stack, 70))
s.at_end("nothing lost", all_nodes_present, stack)  # a kernel that returns 1 when all is well
print(explore(s, model="tso"))
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from operator import index

from gnomon.check.form import MAX_THREADS, Block, End, Function, Op, Program
from gnomon.check.source import Source, python_function
from gnomon.lang import PAGE_WORDS, Arena


@dataclass(frozen=True)
class Call:
    """One call of a kernel by a thread; `into` is the word where its result goes, 0 to drop it."""

    kernel: object
    args: tuple[int, ...]
    into: int = 0


def call(kernel, *args: int, into: int = 0) -> Call:
    """A call for Scenario.thread(). Raises TypeError for an argument that is not an integer."""
    return Call(kernel, tuple(index(a) for a in args), into)


@dataclass(frozen=True)
class Thread:
    name: str
    calls: tuple[Call, ...]
    forever: bool = False


@dataclass(frozen=True)
class Property:
    name: str
    call: Call


@dataclass(frozen=True)
class Region:
    """A name for words `first` … `first + words - 1`: one word, an array, or a record."""

    first: int
    words: int
    label: str
    layout: object = None
    quiet: bool = False
    kind: str = ""


@dataclass(frozen=True)
class Owners:
    """Memory safety: granule g of 2**granule words from `first` is alive while the word at `at + g` has one of the bits of `mask`."""

    at: int
    first: int
    last: int
    granule: int
    mask: int = -1

    @property
    def granules(self) -> int:
        return self.last - self.first >> self.granule


@dataclass
class Scenario:
    """A named thing to explore, with everything a verdict depends on."""

    name: str
    words: int = 1 << 16
    constants: dict[str, int] = field(default_factory=dict)
    replace: dict = field(default_factory=dict)
    locks: tuple = ()
    progress: bool = True
    within: str = ""
    why: str = ""
    time_passes: bool = False
    """Whether the time of every futex_wait() is over some time: for kernels that poll. Else it may be over at any time, and progress
    must not need it: a thread that nobody wakes sleeps for ever."""

    def __post_init__(self):
        self.source = Source(self.constants, self.replace)
        self.arena = Arena(-(-self.words // PAGE_WORDS) * PAGE_WORDS)
        self.threads: list[Thread] = []
        self.always_properties: list[Property] = []
        self.end_properties: list[Property] = []
        self.regions: list[Region] = []
        self.value_names: dict[int, str] = {}
        self.owners: Owners | None = None
        self.shared: list[int] = []
        self.significant: dict[int, int] = {}
        self.design: str | None = None  # of its machine (gnomon.mmu.designs), None without one

    @property
    def guarded(self) -> int:
        """How many things the search may have to see accesses of: words, and behind them the lives of granules."""
        return len(self.arena) + (self.owners.granules if self.owners else 0)

    def run(self, kernel, *args: int) -> int:
        """Run a kernel to its end now, before any thread starts. Returns its result."""
        return int(self.source.interpreted(kernel)(self.arena, *(int(a) for a in args)))

    def store(self, at: int, value: int) -> None:
        """Set one word before any thread starts."""
        self.arena.words[at] = value

    def thread(self, name: str, *calls: Call, forever: bool = False) -> None:
        """Add a thread. `forever` says that its looping without end is no violation of progress."""
        if len(self.threads) == MAX_THREADS:
            raise ValueError(f"scenario {self.name} has more than {MAX_THREADS} threads")
        self.threads.append(Thread(name, tuple(calls), forever))

    def always(self, name: str, kernel, *args: int) -> None:
        """`kernel(m, *args)` must not return 0 in any state. It only reads."""
        self.always_properties.append(Property(name, call(kernel, *args)))

    def at_end(self, name: str, kernel, *args: int) -> None:
        """`kernel(m, *args)` must not return 0 once every thread has finished and every store has reached memory."""
        self.end_properties.append(Property(name, call(kernel, *args)))

    def label(self, first: int, label: str, layout=None, words: int = 1, quiet: bool = False, kind: str = "") -> None:
        """Name a place for counterexamples; with a layout, its fields are named too. `quiet`: not worth a line of its own.

        `kind` says how its words read where nothing else does: "spte", "rmap" (a head), "ref" (a reference) … (names.py)."""
        self.regions.append(Region(first, layout.size if layout is not None else words, label, layout, quiet, kind))

    def name_value(self, value: int, name: str) -> None:
        """Show `value` as `name` in counterexamples, wherever nothing better is known of the word."""
        self.value_names[value] = name

    def only_bits(self, at: int, bits: int = 0) -> None:
        """Claim that of the word at `at` only `bits` matter to anybody: states that differ elsewhere in it count as one.

        For statistics (no bits), and for counters of which only the parity is looked at (1): they would make endless loops endless
        states. Every access is checked against the claim: where the program may look at another bit, other than to store it back
        changed into the same word, the word counts whole. `bits` are the low ones: 0, 1, 3, 7 …"""
        if bits & bits + 1:
            raise ValueError(f"only_bits takes the low bits of a word, not {bits:#x}")
        self.significant[at] = bits

    def memory_safety(self, owners: Owners) -> None:
        """Claim that no access touches a granule whose owner word says that it is free."""
        self.owners = owners

    def program(self) -> Program:
        """The lowered program: one main a thread, then one a property."""
        if not self.threads:
            raise ValueError(f"scenario {self.name} has no threads: nothing to explore")
        mains = [self._main(t.name, t.calls) for t in self.threads]
        mains += [self._main(p.name, (p.call,)) for p in self.always_properties + self.end_properties]
        program = Program(mains)
        self._mark_locks(program)
        return program

    def _main(self, name: str, calls: tuple[Call, ...]) -> Function:
        place = ("", 0, name)
        ops: list[Op] = []
        for n, made in enumerate(calls):
            callee = self.source.lower(made.kernel)
            if len(made.args) != len(callee.params):
                raise ValueError(f"thread {name} of {self.name}: {callee.name} takes {len(callee.params)} words, {len(made.args)} given")
            ops.append(Op("call", f"result{n}", made.args, place, callee))
            if made.into:
                ops.append(Op("write", None, (made.into, f"result{n}"), place))
        result: int | str = f"result{len(calls) - 1}" if calls else 0
        return Function(name, "", (), {0: Block(ops, End("return", (result,), (), place))}, 0)

    def _mark_locks(self, program: Program) -> None:
        """Around each call of a lock pair's kernels, tell the explorer which lock is held."""
        takes = {self.source.lower(lock) for lock, _ in self.locks}
        gives = {self.source.lower(unlock) for _, unlock in self.locks}
        for function in program.functions:
            for block in function.blocks.values():
                ops: list[Op] = []
                for op in block.ops:
                    ops.append(op)
                    if op.callee in takes:
                        ops.append(Op("acquired", None, op.args[:1], op.place))
                    if op.callee in gives:
                        ops.append(Op("released", None, op.args[:1], op.place))
                block.ops = ops

    def digest(self) -> str:
        """Changes when anything that a schedule depends on does: kernels, overrides, set-up memory, threads, properties."""
        state = hashlib.blake2b(self.source.digest().encode(), digest_size=16)
        for thread in self.threads:
            for made in thread.calls:
                state.update(f"{thread.name} {python_function(made.kernel).__qualname__} {made.args} {made.into}\n".encode())
        for claimed in self.always_properties + self.end_properties:
            state.update(f"{claimed.name} {python_function(claimed.call.kernel).__qualname__} {claimed.call.args}\n".encode())
        state.update(repr(sorted(self.significant.items())).encode())
        state.update(self.arena.words.tobytes())
        return state.hexdigest()
