"""access: reads, writes and locked operations, of words and of some bytes of them, as LLVM text.

x86-TSO: a store enters the thread's FIFO buffer; a load takes the newest buffered store to its bytes, else memory; locked operations
wait until the buffer is empty. A load whose bytes are all in the newest buffered store that it meets takes them from there; one that
needs more waits until that store has drained, as x86 CPUs do.
"""

from gnomon.check.context import PART_SHIFT
from gnomon.check.runtime.text import stop_if, when_aligned, when_touched


def pick(label: str, order: str) -> str:
    """A block of do_locked(): %a where it comes before the value that is there, by this comparison."""
    return f"""{label}:
  %before_{label} = icmp {order} i64 %a, %v
  %of_{label} = select i1 %before_{label}, i64 %a, i64 %v
  br label %store"""


ACCESS = rf"""
; of the bytes of the word; 0 for all of them. What is not all in the newest buffered store that it meets waits until that has drained
define internal i64 @do_read(ptr %C, ptr %R, i64 %thread, i64 %address, i64 %bytes) noinline {{
{when_aligned("start")}
{when_touched(0, "scan")}
  %wanted = call i64 @covered(i64 %bytes)
  %at = call i64 @newest(ptr %R, i64 %address, i64 %wanted)
  %absent = icmp eq i64 %at, 0
  br i1 %absent, label %memory, label %buffered
buffered:
  %entry = call i64 @word_get(ptr %R, i64 %at)
  %stored = lshr i64 %entry, {PART_SHIFT}
  %covers = call i64 @covered(i64 %stored)
  %others = xor i64 %covers, -1
  %missing = and i64 %others, %wanted
  %partly = icmp ne i64 %missing, 0
{stop_if("%partly", 1, "forward")}
  %at1 = add i64 %at, 1
  %own = call i64 @word_get(ptr %R, i64 %at1)
  br label %take
memory:
  %kept = call i64 @memory_get(ptr %C, i64 %address)
  br label %take
take:
  %word = phi i64 [ %own, %forward ], [ %kept, %memory ]
  %value = call i64 @taken(i64 %bytes, i64 %word)
  call void @set_value(ptr %C, i64 %value)
  ret i64 %status
}}

; of the bytes of the word; 0 for all of them
define internal i64 @do_write(ptr %C, ptr %R, i64 %thread, i64 %address, i64 %bytes, i64 %given) noinline {{
{when_aligned("start")}
  %stored = call i64 @placed(i64 %bytes, i64 %given)
  %may = call i64 @field_early(ptr %C)
  %held = call i64 @word_get(ptr %R, i64 3)
  %free = icmp eq i64 %held, 0
  %early = select i1 %free, i64 %may, i64 0 ; giving a lock back stays a step: others are tried before it
  %writes = add i64 %early, 1
  %mortal = call i64 @life_changed(ptr %C, ptr %R, i64 %address, i64 %stored)
  call void @set_mortal(ptr %C, i64 %mortal)
{when_touched("%writes", "go")}
  %significant = call i64 @kept(ptr %C, i64 %address, i64 %stored)
  %value = call i64 @trimmed(i64 %bytes, i64 %significant)
  call void @set_value(ptr %C, i64 %value)
  %tso = call i64 @field_tso(ptr %C)
  %weak = icmp ne i64 %tso, 0
  %seen = icmp eq i64 %status, 0
  %buffered = and i1 %weak, %seen
  br i1 %buffered, label %push, label %direct
direct:
  %word = call i64 @over_memory(ptr %C, i64 %address, i64 %bytes, i64 %value)
  call void @memory_set(ptr %C, i64 %address, i64 %word)
  ret i64 %status
push:
  %count = call i64 @word_get(ptr %R, i64 1)
  %limit = call i64 @field_buffer(ptr %C)
  %room = icmp slt i64 %count, %limit
  br i1 %room, label %append, label %full
full:
  call void @set_buffer_full(ptr %C, i64 1)
  ret i64 1
append:
  %twice = shl i64 %count, 1
  %at = add i64 %twice, 4
  %at1 = add i64 %twice, 5
  %part = shl i64 %bytes, {PART_SHIFT}
  %entry = or i64 %address, %part
  call void @word_set(ptr %R, i64 %at, i64 %entry)
  call void @word_set(ptr %R, i64 %at1, i64 %value)
  %more = add i64 %count, 1
  call void @word_set(ptr %R, i64 1, i64 %more)
  %peek = call i64 @field_peek(ptr %C)
  %behind = icmp eq i64 %peek, 1 ; it joins the step before it, never the access after it: a drain may come between
  %twice2 = shl i64 %early, 1
  %unseen = select i1 %behind, i64 %twice2, i64 0
  ret i64 %unseen
}}

; kind: 0 cmpxchg, 1 xchg, 2 add, 3 or, 4 and, 5 xor, 6 note: an xchg that orders nothing, 7 min, 8 max, 9 minu, 10 maxu
; of a word, bytes being 0, or of 32 bits of it: these, a and b sign-extended
define internal i64 @do_locked(ptr %C, ptr %R, i64 %thread, i64 %kind, i64 %address, i64 %bytes, i64 %a, i64 %b) noinline {{
{when_aligned("start")}
  %count = call i64 @word_get(ptr %R, i64 1)
  %holds = icmp ne i64 %count, 0
  %orders = icmp ne i64 %kind, 6
  %waits = and i1 %holds, %orders
{stop_if("%waits", 1, "go")}
{when_touched(1, "old")}
  %word = call i64 @memory_get(ptr %C, i64 %address)
  %v = call i64 @half_of(i64 %bytes, i64 %word)
  call void @set_value(ptr %C, i64 %v)
  switch i64 %kind, label %cas [
    i64 1, label %swap
    i64 2, label %plus
    i64 3, label %set
    i64 4, label %keep
    i64 5, label %flip
    i64 6, label %swap
    i64 7, label %least
    i64 8, label %most
    i64 9, label %lowest
    i64 10, label %highest
  ]
cas:
  %equal = icmp eq i64 %v, %a
  %c = select i1 %equal, i64 %b, i64 %v
  br label %store
swap:
  br label %store
plus:
  %p = add i64 %v, %a
  br label %store
set:
  %o = or i64 %v, %a
  br label %store
keep:
  %n = and i64 %v, %a
  br label %store
flip:
  %x = xor i64 %v, %a
  br label %store
{pick("least", "slt")}
{pick("most", "sgt")}
{pick("lowest", "ult")}
{pick("highest", "ugt")}
store:
  %made = phi i64 [ %c, %cas ], [ %a, %swap ], [ %p, %plus ], [ %o, %set ], [ %n, %keep ], [ %x, %flip ],
    [ %of_least, %least ], [ %of_most, %most ], [ %of_lowest, %lowest ], [ %of_highest, %highest ]
  %positioned = call i64 @placed(i64 %bytes, i64 %made)
  %result = call i64 @over(i64 %word, i64 %bytes, i64 %positioned)
  %new = call i64 @kept(ptr %C, i64 %address, i64 %result)
  %changes = icmp ne i64 %new, %word
  br i1 %changes, label %write, label %done
write:
  call void @memory_set(ptr %C, i64 %address, i64 %new)
  br label %done
done:
  ret i64 %status
}}
"""
