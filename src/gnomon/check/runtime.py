"""runtime: what every generated step function calls, as LLVM text: accesses under SC and x86-TSO, with guards and a journal.

x86-TSO: a store enters the thread's FIFO buffer; a load takes the newest buffered store to its word, else memory; locked
operations and mb() wait until the buffer is empty; a drain writes the oldest store to memory. membarrier() waits until every
other thread's buffer has been empty once since it began, which is all that the system call promises.
"""

from __future__ import annotations

from gnomon.check.context import ADDRESS_BITS, ASLEEP, ASLEEP_SHIFT, AT, FIRST_LOCK, MAX_LOCKS, PART_SHIFT, READ_ONLY, WOKEN
from gnomon.check.runtime_futex import FUTEX
from gnomon.check.runtime_parts import PARTS
from gnomon.check.runtime_waits import WAITS

_LOAD_FIELD = """define internal i64 @field_{name}(ptr %C) alwaysinline {{
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
"""

_TEXT = r"""
declare i64 @llvm.cttz.i64(i64, i1)
declare i64 @llvm.ctpop.i64(i64)

define internal i64 @word_get(ptr %p, i64 %i) alwaysinline {
  %q = getelementptr i64, ptr %p, i64 %i
  %v = load i64, ptr %q
  ret i64 %v
}
define internal void @word_set(ptr %p, i64 %i, i64 %v) alwaysinline {
  %q = getelementptr i64, ptr %p, i64 %i
  store i64 %v, ptr %q
  ret void
}
define internal i64 @slot_of(ptr %C, i64 %address) alwaysinline {
  %map = call ptr @pointer_map(ptr %C)
  %q = getelementptr i32, ptr %map, i64 %address
  %s = load i32, ptr %q
  %w = sext i32 %s to i64
  ret i64 %w
}

; the value in memory, whatever buffers hold
define internal i64 @memory_get(ptr %C, i64 %address) {
  %slot = call i64 @slot_of(ptr %C, i64 %address)
  %known = icmp sge i64 %slot, 0
  br i1 %known, label %changed, label %fresh
changed:
  %memory = call ptr @pointer_memory(ptr %C)
  %a = call i64 @word_get(ptr %memory, i64 %slot)
  ret i64 %a
fresh:
  %initial = call ptr @pointer_initial(ptr %C)
  %b = call i64 @word_get(ptr %initial, i64 %address)
  ret i64 %b
}

define internal void @memory_set(ptr %C, i64 %address, i64 %value) noinline {
  %found = call i64 @slot_of(ptr %C, i64 %address)
  %memory = call ptr @pointer_memory(ptr %C)
  %known = icmp sge i64 %found, 0
  br i1 %known, label %write, label %fresh
fresh:
  %initial = call ptr @pointer_initial(ptr %C)
  %first = call i64 @word_get(ptr %initial, i64 %address)
  %same = icmp eq i64 %first, %value
  br i1 %same, label %done, label %new
new:
  %next = call i64 @field_slots(ptr %C)
  %limit = call i64 @field_room(ptr %C)
  %room = icmp slt i64 %next, %limit
  br i1 %room, label %take, label %full
full:
  call void @set_full(ptr %C, i64 1)
  call void @set_wanted(ptr %C, i64 %address)
  br label %done
take:
  %more = add i64 %next, 1
  call void @set_slots(ptr %C, i64 %more)
  %map = call ptr @pointer_map(ptr %C)
  %q = getelementptr i32, ptr %map, i64 %address
  %narrow = trunc i64 %next to i32
  store i32 %narrow, ptr %q
  %places = call ptr @pointer_address_of(ptr %C)
  call void @word_set(ptr %places, i64 %next, i64 %address)
  call void @word_set(ptr %memory, i64 %next, i64 %first)
  %origins = call ptr @pointer_origin(ptr %C)
  call void @word_set(ptr %origins, i64 %next, i64 %first)
  br label %write
write:
  %slot = phi i64 [ %found, %0 ], [ %next, %take ]
  %old = call i64 @word_get(ptr %memory, i64 %slot)
  %count = call i64 @field_journaled(ptr %C)
  %journal = call ptr @pointer_journal(ptr %C)
  %at = shl i64 %count, 1
  call void @word_set(ptr %journal, i64 %at, i64 %slot)
  %at1 = add i64 %at, 1
  call void @word_set(ptr %journal, i64 %at1, i64 %old)
  %counted = add i64 %count, 1
  call void @set_journaled(ptr %C, i64 %counted)
  call void @word_set(ptr %memory, i64 %slot, i64 %value)
  br label %done
done:
  ret void
}

; what a store of this value leaves in the word: bits that nobody looks at stay as they were, or equal states would differ in them
define internal i64 @kept(ptr %C, i64 %address, i64 %value) alwaysinline {
  %all = call ptr @pointer_significant(ptr %C)
  %bits = call i64 @word_get(ptr %all, i64 %address)
  %initial = call ptr @pointer_initial(ptr %C)
  %before = call i64 @word_get(ptr %initial, i64 %address)
  %differ = xor i64 %value, %before
  %count = and i64 %differ, %bits
  %left = xor i64 %before, %count
  ret i64 %left
}

; the value as the thread itself sees it: its newest buffered store, else memory
define internal i64 @seen_by(ptr %C, ptr %R, i64 %address) alwaysinline {
  %count = call i64 @word_get(ptr %R, i64 1)
  br label %loop
loop:
  %n = phi i64 [ %count, %0 ], [ %i, %entry ]
  %none = icmp eq i64 %n, 0
  br i1 %none, label %memory, label %entry
entry:
  %i = sub i64 %n, 1
  %twice = shl i64 %i, 1
  %at = add i64 %twice, 4
  %a = call i64 @word_get(ptr %R, i64 %at)
  %other = xor i64 %a, %address
  %elsewhere = and i64 %other, ADDRESS_BITS
  %here = icmp eq i64 %elsewhere, 0
  br i1 %here, label %same, label %loop
same:
  %hit = icmp eq i64 %other, 0
  br i1 %hit, label %forward, label %mixed
forward:
  %at1 = add i64 %at, 1
  %buffered = call i64 @word_get(ptr %R, i64 %at1)
  ret i64 %buffered
mixed:
  call void @set_torn(ptr %C, i64 1)
  %together = call i64 @merged(ptr %C, ptr %R, i64 %address)
  ret i64 %together
memory:
  %value = call i64 @memory_get(ptr %C, i64 %address)
  ret i64 %value
}

; this worker's accesses leave the word these candidates; what all workers leave counts from the next level on
define internal void @narrow(ptr %C, i64 %address, i64 %remains) noinline {
  %narrowed = call ptr @pointer_narrowed(ptr %C)
  call void @word_set(ptr %narrowed, i64 %address, i64 %remains)
  %n = call i64 @field_narrows(ptr %C)
  %n1 = add i64 %n, 1
  call void @set_narrows(ptr %C, i64 %n1)
  ret void
}

; may this thread touch the word now? 0 visible to others, 2 invisible, 4 violation, 5 stop: it would be visible
; writes: 0 reads, 1 writes, 2 stores early into the buffer, which nobody sees yet
define internal i64 @touch(ptr %C, ptr %R, i64 %thread, i64 %address, i64 %writes) alwaysinline {
  call void @set_address(ptr %C, i64 %address)
  %low = icmp ult i64 %address, 64
  br i1 %low, label %null, label %bounded
null:
  call void @set_violation(ptr %C, i64 1)
  ret i64 4
bounded:
  %words = call i64 @field_words(ptr %C)
  %in = icmp ult i64 %address, %words
  br i1 %in, label %owned, label %outside
outside:
  call void @set_violation(ptr %C, i64 2)
  ret i64 4
owned:
  %owners = call i64 @field_owners(ptr %C)
  %checked = icmp ne i64 %owners, 0
  br i1 %checked, label %range, label %guarded
range:
  %from = call i64 @field_owned_from(ptr %C)
  %to = call i64 @field_owned_to(ptr %C)
  %over = sub i64 %address, %from
  %span = sub i64 %to, %from
  %mine = icmp ult i64 %over, %span
  br i1 %mine, label %lookup, label %guarded
lookup:
  %granule = call i64 @field_granule(ptr %C)
  %which = lshr i64 %over, %granule
  %owner_at = add i64 %owners, %which
  %owner = call i64 @seen_by(ptr %C, ptr %R, i64 %owner_at)
  %mask = call i64 @field_owner_mask(ptr %C)
  %tag = and i64 %owner, %mask
  %alive = icmp ne i64 %tag, 0
  br i1 %alive, label %guarded, label %freed
freed:
  call void @set_violation(ptr %C, i64 4)
  ret i64 4
guarded:
  %peek = call i64 @field_peek(ptr %C)
  %free = icmp eq i64 %peek, 2
  br i1 %free, label %unseen, label %guards
unseen:
  ret i64 2
guards:
  %guard = call ptr @pointer_guard(ptr %C)
  %candidates = call i64 @word_get(ptr %guard, i64 %address)
  %held = call i64 @word_get(ptr %R, i64 3)
  %shift = shl i64 1, %thread
  %lone = call i64 @field_lone(ptr %C)
  %bit = and i64 %shift, %lone
  %locks = or i64 %held, %bit
  %reads = icmp eq i64 %writes, 0
  %ro = select i1 %reads, i64 READ_ONLY, i64 0
  %mine2 = or i64 %locks, %ro
  %left = and i64 %candidates, %mine2
  %hidden = icmp ne i64 %left, 0
  br i1 %hidden, label %invisible, label %visible
invisible:
  %narrowed = call ptr @pointer_narrowed(ptr %C)
  %before = call i64 @word_get(ptr %narrowed, i64 %address)
  %remains = and i64 %before, %mine2
  %fewer = icmp ne i64 %remains, %before
  br i1 %fewer, label %narrow, label %kept
kept:
  ret i64 2
narrow:
  call void @narrow(ptr %C, i64 %address, i64 %remains)
  ret i64 2
visible:
  %peeks = icmp eq i64 %peek, 1
  %shown = icmp ne i64 %writes, 2
  %stop = and i1 %peeks, %shown
  br i1 %stop, label %stopped, label %seen
stopped:
  ret i64 5
seen:
  %relied = icmp ne i64 %candidates, 0
  br i1 %relied, label %broke, label %fine
broke:
  call void @narrow(ptr %C, i64 %address, i64 0)
  %b = call i64 @field_broken(ptr %C)
  %b1 = add i64 %b, 1
  call void @set_broken(ptr %C, i64 %b1)
  ret i64 0
fine:
  ret i64 0
}

define internal i64 @do_read(ptr %C, ptr %R, i64 %thread, i64 %address) noinline {
  %status = call i64 @touch(ptr %C, ptr %R, i64 %thread, i64 %address, i64 0)
  %bad = icmp ugt i64 %status, 2
  br i1 %bad, label %out, label %scan
out:
  ret i64 %status
scan:
  call void @set_torn(ptr %C, i64 0)
  %v = call i64 @seen_by(ptr %C, ptr %R, i64 %address)
  %torn = call i64 @field_torn(ptr %C)
  %waits = icmp ne i64 %torn, 0
  br i1 %waits, label %blocked, label %go
blocked:
  ret i64 1
go:
  call void @set_value(ptr %C, i64 %v)
  ret i64 %status
}

; of the bytes of the word; 0 for all of them
define internal i64 @do_write(ptr %C, ptr %R, i64 %thread, i64 %address, i64 %bytes, i64 %given) noinline {
  %misplaced = call i1 @misaligned(ptr %C, i64 %address, i64 %bytes)
  br i1 %misplaced, label %wrong, label %start
wrong:
  ret i64 4
start:
  %stored = call i64 @placed(i64 %bytes, i64 %given)
  %may = call i64 @field_early(ptr %C)
  %held = call i64 @word_get(ptr %R, i64 3)
  %free = icmp eq i64 %held, 0
  %early = select i1 %free, i64 %may, i64 0 ; giving a lock back stays a step: others are tried before it
  %writes = add i64 %early, 1
  %status = call i64 @touch(ptr %C, ptr %R, i64 %thread, i64 %address, i64 %writes)
  %bad = icmp ugt i64 %status, 2
  br i1 %bad, label %out, label %go
out:
  ret i64 %status
go:
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
  %part = shl i64 %bytes, PART_SHIFT
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
}

; kind: 0 cmpxchg, 1 xchg, 2 add, 3 or, 4 and, 5 xor, 6 note: an xchg that orders nothing, 7 min, 8 max, 9 minu, 10 maxu
; of a word, bytes being 0, or of 32 bits of it: these, a and b sign-extended
define internal i64 @do_locked(ptr %C, ptr %R, i64 %thread, i64 %kind, i64 %address, i64 %bytes, i64 %a, i64 %b) noinline {
  %misplaced = call i1 @misaligned(ptr %C, i64 %address, i64 %bytes)
  br i1 %misplaced, label %wrong, label %start
wrong:
  ret i64 4
start:
  %count = call i64 @word_get(ptr %R, i64 1)
  %holds = icmp ne i64 %count, 0
  %orders = icmp ne i64 %kind, 6
  %waits = and i1 %holds, %orders
  br i1 %waits, label %blocked, label %go
blocked:
  ret i64 1
go:
  %status = call i64 @touch(ptr %C, ptr %R, i64 %thread, i64 %address, i64 1)
  %bad = icmp ugt i64 %status, 2
  br i1 %bad, label %out, label %old
out:
  ret i64 %status
old:
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
least:
  %lt = icmp slt i64 %a, %v
  %l = select i1 %lt, i64 %a, i64 %v
  br label %store
most:
  %gt = icmp sgt i64 %a, %v
  %g = select i1 %gt, i64 %a, i64 %v
  br label %store
lowest:
  %ult = icmp ult i64 %a, %v
  %lu = select i1 %ult, i64 %a, i64 %v
  br label %store
highest:
  %ugt = icmp ugt i64 %a, %v
  %gu = select i1 %ugt, i64 %a, i64 %v
  br label %store
store:
  %made = phi i64 [ %c, %cas ], [ %a, %swap ], [ %p, %plus ], [ %o, %set ], [ %n, %keep ], [ %x, %flip ],
    [ %l, %least ], [ %g, %most ], [ %lu, %lowest ], [ %gu, %highest ]
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
}

"""


def runtime() -> str:
    """The LLVM text of the run time."""
    fields = "".join(_LOAD_FIELD.format(name=name, at=at) for name, at in AT.items())
    text = fields + _TEXT + PARTS + WAITS + FUTEX
    numbers = {"READ_ONLY": READ_ONLY, "FIRST_LOCK": FIRST_LOCK, "MAX_LOCKS": MAX_LOCKS}
    numbers |= {"PART_SHIFT": PART_SHIFT, "ADDRESS_BITS": ADDRESS_BITS}
    numbers |= {"ASLEEP_SHIFT": ASLEEP_SHIFT, "ASLEEP": ASLEEP, "WOKEN": WOKEN}
    for name, value in numbers.items():
        text = text.replace(name, str(value))
    return text
