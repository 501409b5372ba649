"""runtime: what every generated step function calls, as LLVM text: accesses under SC and x86-TSO, with guards and a journal.

C is the context (context.py), R the block of the thread that makes the step.
"""

from __future__ import annotations

from gnomon.check.context import AT
from gnomon.check.runtime.access import ACCESS
from gnomon.check.runtime.futex import FUTEX
from gnomon.check.runtime.locks import LOCKS
from gnomon.check.runtime.memory import MEMORY
from gnomon.check.runtime.parts import PARTS
from gnomon.check.runtime.touch import TOUCH
from gnomon.check.runtime.waits import WAITS

_FIELD = """define internal i64 @field_{name}(ptr %C) alwaysinline {{
  %p = getelementptr i64, ptr %C, i64 {at}
  %v = load i64, ptr %p
  ret i64 %v
}}
define internal ptr @pointer_{name}(ptr %C) alwaysinline {{
  %p = getelementptr i64, ptr %C, i64 {at}
  %v = load ptr, ptr %p
  ret ptr %v
}}
define internal void @set_{name}(ptr %C, i64 %v) alwaysinline {{
  %p = getelementptr i64, ptr %C, i64 {at}
  store i64 %v, ptr %p
  ret void
}}
define internal void @add_to_{name}(ptr %C, i64 %n) alwaysinline {{
  %v = call i64 @field_{name}(ptr %C)
  %sum = add i64 %v, %n
  call void @set_{name}(ptr %C, i64 %sum)
  ret void
}}
"""


def runtime() -> str:
    """The LLVM text of the run time."""
    fields = "".join(_FIELD.format(name=name, at=at) for name, at in AT.items())
    return fields + PARTS + MEMORY + TOUCH + ACCESS + LOCKS + WAITS + FUTEX
