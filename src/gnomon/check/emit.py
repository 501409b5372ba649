"""emit: a program's step function as LLVM text.

`step(C, thread)` looks at the thread's pc, does the one access of that point and the local operations after it, stores the next
pc, clears the registers that are dead there, and returns what it was (context.py). All threads share the code.
"""

from __future__ import annotations

from gnomon.check.form import LOCKED_WORD, Function, Op, Operand, Program
from gnomon.check.layout import Layout, Point
from gnomon.check.machine_words import llvm
from gnomon.check.runtime import runtime


def emit(program: Program, layout: Layout, demand: dict[int, int] | None = None) -> str:
    """LLVM text of the module that holds `step` and `drain`. With `demand` (demand.py), accesses tell which bits they look at."""
    return _Emitter(program, layout, demand or {}).module()


class _Emitter:
    def __init__(self, program: Program, layout: Layout, demand: dict[int, int]):
        self.program, self.layout, self.demand = program, layout, demand
        self.lines: list[str] = []
        self.serial = 0
        self.numbers = {f: n for n, f in enumerate(program.functions)}
        self.temporaries: dict[tuple[int, str], str] = {}
        self.local: dict[str, str] = {}

    def module(self) -> str:
        for function in self.program.functions:
            for label in function.blocks:
                self._block(function, label)
        for function in self.program.functions:
            self._return(function)
        body, self.lines = self.lines, []
        self._head()
        return runtime() + "\n".join([*self.lines, *body, "}"]) + "\n"

    def _head(self) -> None:
        out = self.lines.append
        out("define i64 @step(ptr %C, i64 %thread) {")
        out("  %R = call ptr @block_of(ptr %C, i64 %thread)")
        out("  %cap = call i64 @field_buffer(ptr %C)")
        out("  %cap2 = shl i64 %cap, 1")
        out("  %first = add i64 %cap2, 4")
        out("  %G = getelementptr i64, ptr %R, i64 %first")
        out("  %vis = alloca i64\n  store i64 2, ptr %vis\n  %retval = alloca i64")
        for name in self.temporaries.values():
            out(f"  {name} = alloca i64")
        for slot in range(self.layout.registers):
            out(f"  %g{slot} = getelementptr i64, ptr %G, i64 {slot}")
        out("  %pc = call i64 @word_get(ptr %R, i64 0)")
        cases = [f"i64 {p.pc}, label %point{p.pc}" for p in self.layout.points if p]
        for start, main in zip(self.layout.starts, self.program.mains, strict=True):
            cases.append(f"i64 {start}, label %{self._label(main, main.entry)}")
        out(f"  switch i64 %pc, label %finished [ {' '.join(cases)} ]")
        out("finished:\n  ret i64 3")

    def _fresh(self) -> str:
        self.serial += 1
        return f"%t{self.serial}"

    def _label(self, function: Function, label: int, part: str = "") -> str:
        return f"f{self.numbers[function]}_b{label}{part}"

    def _place(self, function: Function, register: str) -> str:
        frame = self.layout.frames[function]
        if register in frame.slots:
            return f"%g{frame.offset + frame.slots[register]}"
        key = (self.numbers[function], register)
        return self.temporaries.setdefault(key, f"%v{len(self.temporaries)}")

    def _read(self, function: Function, operand: Operand) -> str:
        if isinstance(operand, int):
            return str(operand)
        if operand in self.local:
            return self.local[operand]
        result = self._fresh()
        self.lines.append(f"  {result} = load i64, ptr {self._place(function, operand)}")
        return result

    def _write(self, function: Function, register: str | None, value: str) -> None:
        if register is not None:
            self.lines.append(f"  store i64 {value}, ptr {self._place(function, register)}")

    def _compute(self, function: Function, op: Op) -> str:
        args = [self._read(function, a) for a in op.args]
        if op.kind == "copy":
            return args[0]
        if op.kind in ("sdiv", "srem", "udiv", "urem"):
            zero, safe = self._fresh(), self._fresh()
            self.lines += [f"  {zero} = icmp eq i64 {args[1]}, 0", f"  {safe} = select i1 {zero}, i64 1, i64 {args[1]}"]
            args[1] = safe
        lines, result = llvm(op.kind, args, self._fresh)
        self.lines += ["  " + line for line in lines]
        return result

    def _block(self, function: Function, label: int) -> None:
        out = self.lines.append
        block, frame = function.blocks[label], self.layout.frames[function]
        begins = {point.begin: point for (where, _), point in frame.points.items() if where == label}
        out(f"{self._label(function, label)}:")
        moved = False
        for i, op in enumerate(block.ops):
            if i in begins:
                self._arrive(begins[i])
                moved = True
            if op.is_point:
                self._point(frame.points[label, i])
                self.local.clear()
                moved = False
            elif op.callee is not None:
                self._call(function, label, i)
            elif op.kind == "expect":
                self._expect(function, op)
            elif op.kind in ("acquired", "released"):
                out(f"  call void @{op.kind}(ptr %C, ptr %R, i64 {self._read(function, op.args[0])})")
            elif moved:
                self.local[op.dest] = self._compute(function, op)
            else:
                self._write(function, op.dest, self._compute(function, op))
        end = block.end
        match end.kind:
            case "jump":
                out(f"  br label %{self._label(function, end.targets[0])}")
            case "branch":
                bit = self._fresh()
                out(f"  {bit} = icmp ne i64 {self._read(function, end.args[0])}, 0")
                out(f"  br i1 {bit}, label %{self._label(function, end.targets[0])}, label %{self._label(function, end.targets[1])}")
            case "return":
                out(f"  store i64 {self._read(function, end.args[0])}, ptr %retval")
                out(f"  br label %f{self.numbers[function]}_return")

    def _clear(self, function: Function, live) -> None:
        frame = self.layout.frames[function]
        kept = {frame.slots[name] for name in live if name in frame.slots}
        for slot in sorted(set(frame.slots.values()) - kept):
            self.lines.append(f"  store i64 0, ptr %g{frame.offset + slot}")

    def _arrive(self, point: Point) -> None:
        out = self.lines.append
        self._clear(point.function, point.live)
        out(f"  store i64 {point.pc}, ptr %R")
        status = self._fresh()
        out(f"  {status} = load i64, ptr %vis\n  ret i64 {status}")
        out(f"point{point.pc}:")

    def _point(self, point: Point) -> None:
        out, function, op = self.lines.append, point.function, point.op
        args = ", ".join(f"i64 {self._read(function, a)}" for a in op.args)
        thread = "ptr %C, ptr %R, i64 %thread"
        match op.kind:
            case "read":
                call = f"@do_read({thread}, {args}, i64 0)"
            case "read_part":
                call = f"@do_read({thread}, {args})"
            case "write":
                call = f"@do_write({thread}, {args.replace(', ', ', i64 0, ')})"
            case "write_part":
                call = f"@do_write({thread}, {args})"
            case "mb" | "membarrier":
                call = f"@do_{op.kind}({thread})"
            case "futex_wait" | "futex_wake":
                call = f"@do_{op.kind}({thread}, {args})"
            case "choose":
                call = f"@do_choose(ptr %C, {args})"
            case _:
                half = op.kind.endswith("32")
                kind = LOCKED_WORD.index(op.kind.removesuffix("32"))
                first, _, values = args.partition(", ")
                values = values if half else f"i64 0, {values}"
                third = "" if op.kind.startswith("cmpxchg") else ", i64 0"
                call = f"@do_locked({thread}, i64 {kind}, {first}, {values}{third})"
        status, done = self._fresh(), self._fresh()
        out(f"  {status} = call i64 {call}")
        out(f"  {done} = and i64 {status}, -3")
        ok = self._fresh()
        out(f"  {ok} = icmp eq i64 {done}, 0")
        out(f"  br i1 {ok}, label %done{point.pc}, label %not{point.pc}")
        out(f"not{point.pc}:")
        if op.kind in ("membarrier", "futex_wait"):
            begun, result, told = self._fresh(), self._fresh(), 2 if op.kind == "membarrier" else 0
            out(f"  {begun} = icmp eq i64 {status}, 6\n  {result} = select i1 {begun}, i64 {told}, i64 {status}\n  ret i64 {result}")
        else:
            out(f"  ret i64 {status}")
        out(f"done{point.pc}:\n  store i64 {status}, ptr %vis")
        if self.demand.get(id(op)):
            out(f"  call void @looked(ptr %C, i64 {args.partition(',')[0].removeprefix('i64 ')}, i64 {self.demand[id(op)]})")
        if op.dest is not None:
            value = "0"
            if op.kind not in ("write", "write_part", "mb"):
                value = self._fresh()
                out(f"  {value} = call i64 @field_value(ptr %C)")
            self._write(function, op.dest, value)

    def _expect(self, function: Function, op: Op) -> None:
        out = self.lines.append
        bit, n = self._fresh(), self.serial
        out(f"  {bit} = icmp ne i64 {self._read(function, op.args[0])}, 0")
        out(f"  br i1 {bit}, label %kept{n}, label %broken{n}")
        out(
            f"broken{n}:\n  call void @set_violation(ptr %C, i64 3)\n"
            f"  call void @set_line(ptr %C, i64 {op.place[1]})\n  ret i64 4\nkept{n}:"
        )

    def _call(self, function: Function, label: int, i: int) -> None:
        out = self.lines.append
        op = function.blocks[label].ops[i]
        callee, frame = op.callee, self.layout.frames[function]
        below = self.layout.frames[callee]
        values = [self._read(function, a) for a in op.args]
        self._clear(function, frame.after[label][i] - {op.dest})
        for param, value in zip(callee.params, values, strict=True):
            self._write(callee, param, value)
        if below.return_slot >= 0:
            out(f"  store i64 {below.sites.index((function, label, i))}, ptr %g{below.offset + below.return_slot}")
        out(f"  br label %{self._label(callee, callee.entry)}")
        out(f"{self._label(function, label, f'_after{i}')}:")
        if op.dest is not None:
            result = self._fresh()
            out(f"  {result} = load i64, ptr %retval")
            self._write(function, op.dest, result)

    def _return(self, function: Function) -> None:
        out, frame = self.lines.append, self.layout.frames[function]
        out(f"f{self.numbers[function]}_return:")
        site = "0"
        if frame.return_slot >= 0:
            site = self._fresh()
            out(f"  {site} = load i64, ptr %g{frame.offset + frame.return_slot}")
        for slot in range(frame.size):
            out(f"  store i64 0, ptr %g{frame.offset + slot}")
        if not frame.sites:
            status = self._fresh()
            out(f"  store i64 0, ptr %R\n  %value{self.numbers[function]} = load i64, ptr %retval")
            out(f"  call void @set_value(ptr %C, i64 %value{self.numbers[function]})\n  {status} = load i64, ptr %vis\n  ret i64 {status}")
            return
        labels = [self._label(f, label, f"_after{i}") for f, label, i in frame.sites]
        cases = " ".join(f"i64 {n}, label %{label}" for n, label in enumerate(labels))
        out(f"  switch i64 {site}, label %{labels[0]} [ {cases} ]")
