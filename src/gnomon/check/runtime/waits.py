"""waits: barriers and choices, as LLVM text.

mb() waits until the thread's store buffer is empty. membarrier() waits until every other thread's buffer has been empty once since it
began, which is all that the system call promises.
"""

from gnomon.check.context import READ_ONLY
from gnomon.check.runtime.text import again, as_own_step, loop, when_drained

WAITS = rf"""
define internal i64 @do_mb(ptr %C, ptr %R, i64 %thread) noinline {{
{when_drained("go")}
  ret i64 2
}}

; 6: it has begun, the pc stays
define internal i64 @do_membarrier(ptr %C, ptr %R, i64 %thread) noinline {{
  call void @set_value(ptr %C, i64 0)
  %tso = call i64 @field_tso(ptr %C)
  %weak = icmp ne i64 %tso, 0
  br i1 %weak, label %own, label %done
done:
  ret i64 2
own:
{when_drained("phase")}
  %awaited = call i64 @word_get(ptr %R, i64 2)
  %begun = icmp ne i64 %awaited, 0
  br i1 %begun, label %check, label %begin
check:
  %last = icmp eq i64 %awaited, {READ_ONLY}
  br i1 %last, label %over, label %blocked
blocked:
  ret i64 1
over:
  call void @word_set(ptr %R, i64 2, i64 0)
  ret i64 2
begin:
  %threads = call i64 @field_threads(ptr %C)
{loop("t", "%threads", "begin", "judge", mask=(0, "%mask1"))}
  %T = call ptr @block_of(ptr %C, i64 %t)
  %others = call i64 @word_get(ptr %T, i64 1)
  %holds = icmp ne i64 %others, 0
  %bit = shl i64 1, %t
  %add = select i1 %holds, i64 %bit, i64 0
  %mask1 = or i64 %mask, %add
{again("t")}
judge:
  %empty = icmp eq i64 %mask, 0
  br i1 %empty, label %done, label %wait
wait:
  %flagged = or i64 %mask, {READ_ONLY}
  call void @word_set(ptr %R, i64 2, i64 %flagged)
  ret i64 6
}}

define internal i64 @do_choose(ptr %C, i64 %n) noinline {{
{as_own_step("go")}
  call void @set_fanout(ptr %C, i64 %n)
  %v = call i64 @field_choice(ptr %C)
  call void @set_value(ptr %C, i64 %v)
  ret i64 0
}}
"""
