"""memory: the words of a state and the threads' store buffers over them, as LLVM text.

A word has a slot once a step has changed it; every change is written down in a journal, so that it can be taken back. Under x86-TSO a
store enters its thread's FIFO buffer, and a drain writes the oldest one to memory: the bytes that it has, the others stay as they are by
then.
"""

from gnomon.check.context import ADDRESS_BITS, PART_SHIFT
from gnomon.check.runtime.text import again, loop, stop_if

MEMORY = rf"""
define internal i64 @word_get(ptr %p, i64 %i) alwaysinline {{
  %q = getelementptr i64, ptr %p, i64 %i
  %v = load i64, ptr %q
  ret i64 %v
}}
define internal void @word_set(ptr %p, i64 %i, i64 %v) alwaysinline {{
  %q = getelementptr i64, ptr %p, i64 %i
  store i64 %v, ptr %q
  ret void
}}
define internal ptr @block_of(ptr %C, i64 %thread) alwaysinline {{
  %blocks = call ptr @pointer_blocks(ptr %C)
  %stride = call i64 @field_stride(ptr %C)
  %row = mul i64 %thread, %stride
  %R = getelementptr i64, ptr %blocks, i64 %row
  ret ptr %R
}}
define internal i64 @slot_of(ptr %C, i64 %address) alwaysinline {{
  %map = call ptr @pointer_map(ptr %C)
  %q = getelementptr i32, ptr %map, i64 %address
  %s = load i32, ptr %q
  %w = sext i32 %s to i64
  ret i64 %w
}}

; the value in memory, whatever buffers hold
define internal i64 @memory_get(ptr %C, i64 %address) {{
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
}}

define internal void @memory_set(ptr %C, i64 %address, i64 %value) noinline {{
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
}}

; what a store of this value leaves in the word: bits that nobody looks at stay as they were, or equal states would differ in them
define internal i64 @kept(ptr %C, i64 %address, i64 %value) alwaysinline {{
  %all = call ptr @pointer_significant(ptr %C)
  %bits = call i64 @word_get(ptr %all, i64 %address)
  %initial = call ptr @pointer_initial(ptr %C)
  %before = call i64 @word_get(ptr %initial, i64 %address)
  %differ = xor i64 %value, %before
  %count = and i64 %differ, %bits
  %left = xor i64 %before, %count
  ret i64 %left
}}

; what a store of some bytes makes of the word in memory
define internal i64 @over_memory(ptr %C, i64 %address, i64 %bytes, i64 %value) alwaysinline {{
  %whole = icmp eq i64 %bytes, 0
  br i1 %whole, label %all, label %part
all:
  ret i64 %value
part:
  %word = call i64 @memory_get(ptr %C, i64 %address)
  %together = call i64 @over(i64 %word, i64 %bytes, i64 %value)
  ret i64 %together
}}

; where in the thread's block its newest buffered store of any of these bytes is, 0 where none is
define internal i64 @newest(ptr %R, i64 %address, i64 %wanted) alwaysinline {{
  %count = call i64 @word_get(ptr %R, i64 1)
  br label %search
search:
  %n = phi i64 [ %count, %0 ], [ %i, %entry ], [ %i, %here ]
  %none = icmp eq i64 %n, 0
  br i1 %none, label %memory, label %entry
entry:
  %i = sub i64 %n, 1
  %twice = shl i64 %i, 1
  %at = add i64 %twice, 4
  %a = call i64 @word_get(ptr %R, i64 %at)
  %place = and i64 %a, {ADDRESS_BITS}
  %hit = icmp eq i64 %place, %address
  br i1 %hit, label %here, label %search
here:
  %bytes = lshr i64 %a, {PART_SHIFT}
  %covers = call i64 @covered(i64 %bytes)
  %common = and i64 %covers, %wanted
  %apart = icmp eq i64 %common, 0
  br i1 %apart, label %search, label %found
found:
  ret i64 %at
memory:
  ret i64 0
}}

; the word as the thread itself sees it, and as memory will have it once the thread's buffer has drained
define internal i64 @seen_by(ptr %C, ptr %R, i64 %address) alwaysinline {{
  %count = call i64 @word_get(ptr %R, i64 1)
  %memory = call i64 @memory_get(ptr %C, i64 %address)
{loop("i", "%count", "0", "done", word=("%memory", "%word1"))}
  %twice = shl i64 %i, 1
  %at = add i64 %twice, 4
  %at1 = add i64 %twice, 5
  %entry = call i64 @word_get(ptr %R, i64 %at)
  %value = call i64 @word_get(ptr %R, i64 %at1)
  %place = and i64 %entry, {ADDRESS_BITS}
  %bytes = lshr i64 %entry, {PART_SHIFT}
  %hit = icmp eq i64 %place, %address
  %after = call i64 @over(i64 %word, i64 %bytes, i64 %value)
  %word1 = select i1 %hit, i64 %after, i64 %word
{again("i")}
done:
  ret i64 %word
}}

; write the oldest buffered store of a thread to memory; 0 done, 1 there is none
define i64 @drain(ptr %C, i64 %thread) {{
  %R = call ptr @block_of(ptr %C, i64 %thread)
  %count = call i64 @word_get(ptr %R, i64 1)
  %none = icmp eq i64 %count, 0
{stop_if("%none", 1, "go")}
  %entry = call i64 @word_get(ptr %R, i64 4)
  %address = and i64 %entry, {ADDRESS_BITS}
  %bytes = lshr i64 %entry, {PART_SHIFT}
  %stored = call i64 @word_get(ptr %R, i64 5)
  %value = call i64 @over_memory(ptr %C, i64 %address, i64 %bytes, i64 %stored)
  call void @set_address(ptr %C, i64 %address)
  call void @set_value(ptr %C, i64 %value)
  call void @memory_set(ptr %C, i64 %address, i64 %value)
  %left = sub i64 %count, 1
  %end = shl i64 %left, 1
{loop("i", "%end", "go", "clear")}
  %to = add i64 %i, 4
  %from = add i64 %i, 6
  %w = call i64 @word_get(ptr %R, i64 %from)
  call void @word_set(ptr %R, i64 %to, i64 %w)
{again("i")}
clear:
  %z = add i64 %end, 4
  %z1 = add i64 %end, 5
  call void @word_set(ptr %R, i64 %z, i64 0)
  call void @word_set(ptr %R, i64 %z1, i64 0)
  call void @word_set(ptr %R, i64 1, i64 %left)
  %gone = icmp eq i64 %left, 0
  br i1 %gone, label %tell, label %done
tell:
  %threads = call i64 @field_threads(ptr %C)
  %bit = shl i64 1, %thread
  %not = xor i64 %bit, -1
{loop("t", "%threads", "tell", "done")}
  %T = call ptr @block_of(ptr %C, i64 %t)
  %awaited = call i64 @word_get(ptr %T, i64 2)
  %fewer = and i64 %awaited, %not
  call void @word_set(ptr %T, i64 2, i64 %fewer)
{again("t")}
done:
  ret i64 0
}}
"""
