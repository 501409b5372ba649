"""locks: the bits that locks have in locksets, taken and given back, as LLVM text. A lock that does not exclude is found out here."""

from gnomon.check.context import FIRST_LOCK, MAX_LOCKS
from gnomon.check.runtime.text import again, loop

LOCKS = rf"""
; the bit of a lock, 0 for a lock that does not exclude
define internal i64 @lock_bit(ptr %C, i64 %address) noinline {{
  %count = call i64 @field_locks(ptr %C)
  %words = call ptr @pointer_lock_words(ptr %C)
{loop("i", "%count", "0", "new")}
  %a = call i64 @word_get(ptr %words, i64 %i)
  %hit = icmp eq i64 %a, %address
  br i1 %hit, label %found, label %other
other:
{again("i")}
found:
  %useless = call i64 @field_no_locks(ptr %C)
  %good = icmp sge i64 %i, %useless
  br i1 %good, label %known, label %none
known:
  %place = add i64 %i, {FIRST_LOCK}
  %bit = shl i64 1, %place
  ret i64 %bit
new:
  %limit = call i64 @field_lock_room(ptr %C)
  %room = icmp slt i64 %count, %limit
  br i1 %room, label %take, label %closed
closed:
  %all = icmp eq i64 %limit, {MAX_LOCKS}
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
  %place2 = add i64 %count, {FIRST_LOCK}
  %bit2 = shl i64 1, %place2
  ret i64 %bit2
}}

; a lock's kernel that ends with something else than an access to the lock's word is none that we can judge
define internal void @judge_lock(ptr %C, i64 %bit, i64 %address, i64 %others) noinline {{
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
  call void @add_to_broken(ptr %C, i64 %one)
  ret void
fine:
  ret void
}}

define internal void @acquired(ptr %C, ptr %R, i64 %address) noinline {{
  %bit = call i64 @lock_bit(ptr %C, i64 %address)
  %held = call i64 @word_get(ptr %R, i64 3)
  %threads = call i64 @field_threads(ptr %C)
{loop("t", "%threads", "0", "judge", others=(0, "%more"))}
  %T = call ptr @block_of(ptr %C, i64 %t)
  %self = icmp eq ptr %T, %R
  %theirs = call i64 @word_get(ptr %T, i64 3)
  %counts = select i1 %self, i64 0, i64 %theirs
  %more = or i64 %others, %counts
{again("t")}
judge:
  call void @judge_lock(ptr %C, i64 %bit, i64 %address, i64 %others)
  %now = or i64 %held, %bit
  call void @word_set(ptr %R, i64 3, i64 %now)
  ret void
}}

define internal void @released(ptr %C, ptr %R, i64 %address) noinline {{
  %bit = call i64 @lock_bit(ptr %C, i64 %address)
  call void @judge_lock(ptr %C, i64 %bit, i64 %address, i64 0)
  %held = call i64 @word_get(ptr %R, i64 3)
  %not = xor i64 %bit, -1
  %now = and i64 %held, %not
  call void @word_set(ptr %R, i64 3, i64 %now)
  ret void
}}
"""
