"""touch: may a thread touch a word now, and would others see it? As LLVM text.

Memory safety comes first. Then nobody else can see what a thread does to a word of whose candidate locks it holds one.
"""

from gnomon.check.context import READ_ONLY
from gnomon.check.runtime.text import stop_if

TOUCH = rf"""
; this worker's accesses leave the word these candidates; what all workers leave counts from the next level on
define internal void @narrow(ptr %C, i64 %address, i64 %remains) noinline {{
  %narrowed = call ptr @pointer_narrowed(ptr %C)
  call void @word_set(ptr %narrowed, i64 %address, i64 %remains)
  call void @add_to_narrows(ptr %C, i64 1)
  ret void
}}

; may this thread touch the word now? 0 visible to others, 2 invisible, 4 violation, 5 stop: it would be visible
; writes: 0 reads, 1 writes, 2 stores early into the buffer, which nobody sees yet
define internal i64 @touch(ptr %C, ptr %R, i64 %thread, i64 %address, i64 %writes) alwaysinline {{
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
{stop_if("%free", 2, "guards")}
  %guard = call ptr @pointer_guard(ptr %C)
  %candidates = call i64 @word_get(ptr %guard, i64 %address)
  %held = call i64 @word_get(ptr %R, i64 3)
  %shift = shl i64 1, %thread
  %lone = call i64 @field_lone(ptr %C)
  %bit = and i64 %shift, %lone
  %locks = or i64 %held, %bit
  %reads = icmp eq i64 %writes, 0
  %ro = select i1 %reads, i64 {READ_ONLY}, i64 0
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
{stop_if("%stop", 5, "seen")}
  %relied = icmp ne i64 %candidates, 0
  br i1 %relied, label %broke, label %fine
broke:
  call void @narrow(ptr %C, i64 %address, i64 0)
  call void @add_to_broken(ptr %C, i64 1)
  ret i64 0
fine:
  ret i64 0
}}

; an operation looks at these bits of a word of which only some are said to matter
define internal void @looked(ptr %C, i64 %address, i64 %bits) noinline {{
  %all = call ptr @pointer_significant(ptr %C)
  %kept = call i64 @word_get(ptr %all, i64 %address)
  %not = xor i64 %kept, -1
  %more = and i64 %bits, %not
  %wrong = icmp ne i64 %more, 0
  br i1 %wrong, label %broke, label %fine
broke:
  call void @word_set(ptr %all, i64 %address, i64 -1)
  call void @add_to_broken(ptr %C, i64 1)
  ret void
fine:
  ret void
}}
"""
