"""runtime_waits: the part of the run time that waits, chooses, keeps locksets and drains store buffers, as LLVM text."""

WAITS = r"""
define internal i64 @do_mb(ptr %C, ptr %R, i64 %thread) noinline {
  %count = call i64 @word_get(ptr %R, i64 1)
  %waits = icmp ne i64 %count, 0
  %status = select i1 %waits, i64 1, i64 2
  ret i64 %status
}

; 6: it has begun, the pc stays
define internal i64 @do_membarrier(ptr %C, ptr %R, i64 %thread) noinline {
  call void @set_value(ptr %C, i64 0)
  %tso = call i64 @field_tso(ptr %C)
  %weak = icmp ne i64 %tso, 0
  br i1 %weak, label %own, label %done
done:
  ret i64 2
own:
  %count = call i64 @word_get(ptr %R, i64 1)
  %waits = icmp ne i64 %count, 0
  br i1 %waits, label %blocked, label %phase
blocked:
  ret i64 1
phase:
  %awaited = call i64 @word_get(ptr %R, i64 2)
  %begun = icmp ne i64 %awaited, 0
  br i1 %begun, label %check, label %begin
check:
  %last = icmp eq i64 %awaited, READ_ONLY
  br i1 %last, label %over, label %blocked
over:
  call void @word_set(ptr %R, i64 2, i64 0)
  ret i64 2
begin:
  %threads = call i64 @field_threads(ptr %C)
  %blocks = call ptr @pointer_blocks(ptr %C)
  %stride = call i64 @field_stride(ptr %C)
  br label %loop
loop:
  %t = phi i64 [ 0, %begin ], [ %t1, %next ]
  %mask = phi i64 [ 0, %begin ], [ %mask1, %next ]
  %more = icmp slt i64 %t, %threads
  br i1 %more, label %next, label %judge
next:
  %row = mul i64 %t, %stride
  %at = add i64 %row, 1
  %others = call i64 @word_get(ptr %blocks, i64 %at)
  %holds = icmp ne i64 %others, 0
  %bit = shl i64 1, %t
  %add = select i1 %holds, i64 %bit, i64 0
  %mask1 = or i64 %mask, %add
  %t1 = add i64 %t, 1
  br label %loop
judge:
  %empty = icmp eq i64 %mask, 0
  br i1 %empty, label %done, label %wait
wait:
  %flagged = or i64 %mask, READ_ONLY
  call void @word_set(ptr %R, i64 2, i64 %flagged)
  ret i64 6
}

define internal i64 @do_choose(ptr %C, i64 %n) noinline {
  %peek = call i64 @field_peek(ptr %C)
  %stop = icmp eq i64 %peek, 1
  br i1 %stop, label %stopped, label %go
stopped:
  ret i64 5
go:
  call void @set_fanout(ptr %C, i64 %n)
  %v = call i64 @field_choice(ptr %C)
  call void @set_value(ptr %C, i64 %v)
  ret i64 0
}

; the bit of a lock, 0 for a lock that does not exclude
define internal i64 @lock_bit(ptr %C, i64 %address) noinline {
  %count = call i64 @field_locks(ptr %C)
  %words = call ptr @pointer_lock_words(ptr %C)
  br label %loop
loop:
  %i = phi i64 [ 0, %0 ], [ %i1, %next ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %look, label %new
look:
  %a = call i64 @word_get(ptr %words, i64 %i)
  %hit = icmp eq i64 %a, %address
  br i1 %hit, label %found, label %next
next:
  %i1 = add i64 %i, 1
  br label %loop
found:
  %useless = call i64 @field_no_locks(ptr %C)
  %good = icmp sge i64 %i, %useless
  br i1 %good, label %known, label %none
known:
  %place = add i64 %i, FIRST_LOCK
  %bit = shl i64 1, %place
  ret i64 %bit
new:
  %limit = call i64 @field_lock_room(ptr %C)
  %room = icmp slt i64 %count, %limit
  br i1 %room, label %take, label %closed
closed:
  %all = icmp eq i64 %limit, MAX_LOCKS
  br i1 %all, label %none, label %ask
ask:
  %negative = sub i64 0, %address
  call void @set_full(ptr %C, i64 1)
  call void @set_wanted(ptr %C, i64 %negative)
  br label %none
none:
  ret i64 0
take:
  call void @word_set(ptr %words, i64 %count, i64 %address)
  %c1 = add i64 %count, 1
  call void @set_locks(ptr %C, i64 %c1)
  %place2 = add i64 %count, FIRST_LOCK
  %bit2 = shl i64 1, %place2
  ret i64 %bit2
}
; a lock's kernel that ends with something else than an access to the lock's word is none that we can judge
define internal void @judge_lock(ptr %C, i64 %bit, i64 %address, i64 %others) noinline {
  %last = call i64 @field_address(ptr %C)
  %elsewhere = icmp ne i64 %last, %address
  %both = and i64 %others, %bit
  %shared = icmp ne i64 %both, 0
  %wrong = or i1 %elsewhere, %shared
  br i1 %wrong, label %broke, label %fine
broke:
  %old = call i64 @field_overlap(ptr %C)
  %new = or i64 %old, %bit
  call void @set_overlap(ptr %C, i64 %new)
  %relied = icmp ne i64 %bit, 0
  %one = zext i1 %relied to i64
  %b = call i64 @field_broken(ptr %C)
  %b1 = add i64 %b, %one
  call void @set_broken(ptr %C, i64 %b1)
  ret void
fine:
  ret void
}
define internal void @acquired(ptr %C, ptr %R, i64 %address) noinline {
  %bit = call i64 @lock_bit(ptr %C, i64 %address)
  %held = call i64 @word_get(ptr %R, i64 3)
  %threads = call i64 @field_threads(ptr %C)
  %blocks = call ptr @pointer_blocks(ptr %C)
  %stride = call i64 @field_stride(ptr %C)
  br label %loop
loop:
  %t = phi i64 [ 0, %0 ], [ %t1, %next ]
  %others = phi i64 [ 0, %0 ], [ %more, %next ]
  %on = icmp slt i64 %t, %threads
  br i1 %on, label %next, label %judge
next:
  %row = mul i64 %t, %stride
  %R1 = getelementptr i64, ptr %blocks, i64 %row
  %self = icmp eq ptr %R1, %R
  %theirs = call i64 @word_get(ptr %R1, i64 3)
  %counts = select i1 %self, i64 0, i64 %theirs
  %more = or i64 %others, %counts
  %t1 = add i64 %t, 1
  br label %loop
judge:
  call void @judge_lock(ptr %C, i64 %bit, i64 %address, i64 %others)
  %now = or i64 %held, %bit
  call void @word_set(ptr %R, i64 3, i64 %now)
  ret void
}
define internal void @released(ptr %C, ptr %R, i64 %address) noinline {
  %bit = call i64 @lock_bit(ptr %C, i64 %address)
  call void @judge_lock(ptr %C, i64 %bit, i64 %address, i64 0)
  %held = call i64 @word_get(ptr %R, i64 3)
  %not = xor i64 %bit, -1
  %now = and i64 %held, %not
  call void @word_set(ptr %R, i64 3, i64 %now)
  ret void
}

; an operation looks at these bits of a word of which only some are said to matter
define internal void @looked(ptr %C, i64 %address, i64 %bits) noinline {
  %all = call ptr @pointer_significant(ptr %C)
  %kept = call i64 @word_get(ptr %all, i64 %address)
  %not = xor i64 %kept, -1
  %more = and i64 %bits, %not
  %wrong = icmp ne i64 %more, 0
  br i1 %wrong, label %broke, label %fine
broke:
  call void @word_set(ptr %all, i64 %address, i64 -1)
  %b = call i64 @field_broken(ptr %C)
  %b1 = add i64 %b, 1
  call void @set_broken(ptr %C, i64 %b1)
  ret void
fine:
  ret void
}

; write the oldest buffered store of a thread to memory; 0 done, 1 there is none
define i64 @drain(ptr %C, i64 %thread) {
  %blocks = call ptr @pointer_blocks(ptr %C)
  %stride = call i64 @field_stride(ptr %C)
  %row = mul i64 %thread, %stride
  %R = getelementptr i64, ptr %blocks, i64 %row
  %count = call i64 @word_get(ptr %R, i64 1)
  %none = icmp eq i64 %count, 0
  br i1 %none, label %empty, label %go
empty:
  ret i64 1
go:
  %entry = call i64 @word_get(ptr %R, i64 4)
  %address = and i64 %entry, ADDRESS_BITS
  %bytes = lshr i64 %entry, PART_SHIFT
  %stored = call i64 @word_get(ptr %R, i64 5)
  %value = call i64 @over_memory(ptr %C, i64 %address, i64 %bytes, i64 %stored)
  call void @set_address(ptr %C, i64 %address)
  call void @set_value(ptr %C, i64 %value)
  call void @memory_set(ptr %C, i64 %address, i64 %value)
  %left = sub i64 %count, 1
  %end = shl i64 %left, 1
  br label %loop
loop:
  %i = phi i64 [ 0, %go ], [ %i1, %move ]
  %more = icmp slt i64 %i, %end
  br i1 %more, label %move, label %clear
move:
  %to = add i64 %i, 4
  %from = add i64 %i, 6
  %w = call i64 @word_get(ptr %R, i64 %from)
  call void @word_set(ptr %R, i64 %to, i64 %w)
  %i1 = add i64 %i, 1
  br label %loop
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
  br label %each
each:
  %t = phi i64 [ 0, %tell ], [ %t1, %one ]
  %go2 = icmp slt i64 %t, %threads
  br i1 %go2, label %one, label %done
one:
  %row2 = mul i64 %t, %stride
  %at = add i64 %row2, 2
  %awaited = call i64 @word_get(ptr %blocks, i64 %at)
  %fewer = and i64 %awaited, %not
  call void @word_set(ptr %blocks, i64 %at, i64 %fewer)
  %t1 = add i64 %t, 1
  br label %each
done:
  ret i64 0
}
"""
