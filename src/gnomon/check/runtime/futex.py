"""futex: sleeping and waking, as LLVM text.

futex_wait() and futex_wake() are system calls with a full barrier: both wait until the store buffer is empty. Looking at the word and
falling asleep is one step, as the kernel's bucket lock makes it; so is a wake. Who of several sleepers a wake of one wakes is a choice.
Both are steps of their own, never merged: a queue of sleepers is something that others can tell.
"""

from gnomon.check.context import ASLEEP, ASLEEP_SHIFT, WOKEN
from gnomon.check.runtime.text import again, as_own_step, loop, stop_if, when_drained, when_touched

FUTEX = rf"""
; 1 asleep, or the buffer is not empty; 6 fell asleep, the pc stays; 0 or 2 goes on: value 0 woken, -1 the word differed or time is up
define internal i64 @do_futex_wait(ptr %C, ptr %R, i64 %thread, i64 %address, i64 %expected, i64 %timeout) noinline {{
{as_own_step("go")}
  %awaited = call i64 @word_get(ptr %R, i64 2)
  %entering = icmp eq i64 %awaited, 0
  br i1 %entering, label %begin, label %inside
inside:
  call void @set_address(ptr %C, i64 %address)
  %woken = icmp eq i64 %awaited, {WOKEN}
  br i1 %woken, label %resume, label %asleep
resume:
  call void @word_set(ptr %R, i64 2, i64 0)
  call void @set_value(ptr %C, i64 0)
  ret i64 2
asleep:
  %time = call i64 @field_time(ptr %C)
  %never = icmp eq i64 %time, 0
{stop_if("%never", 1, "up")}
  %perhaps = icmp eq i64 %time, 1
  %uncounted = zext i1 %perhaps to i64
  call void @set_timed(ptr %C, i64 %uncounted)
  call void @word_set(ptr %R, i64 2, i64 0)
  br label %awake
begin:
{when_drained("look")}
{when_touched(1, "compare")}
  %v = call i64 @memory_get(ptr %C, i64 %address)
  %difference = xor i64 %v, %expected
  %half = trunc i64 %difference to i32
  %differs = icmp ne i32 %half, 0
  %no_time = icmp sle i64 %timeout, 0
  %stays = or i1 %differs, %no_time
  br i1 %stays, label %awake, label %sleep
sleep:
  %on = shl i64 %address, {ASLEEP_SHIFT}
  %marked = or i64 %on, {ASLEEP}
  call void @word_set(ptr %R, i64 2, i64 %marked)
  call void @set_value(ptr %C, i64 0)
  ret i64 6
awake:
  call void @set_value(ptr %C, i64 -1)
  ret i64 0
}}

; wakes one sleeper, or with a greater count all of them; the value is how many
define internal i64 @do_futex_wake(ptr %C, ptr %R, i64 %thread, i64 %address, i64 %most) noinline {{
{as_own_step("go")}
{when_drained("look")}
{when_touched(1, "begin")}
  %on = shl i64 %address, {ASLEEP_SHIFT}
  %marked = or i64 %on, {ASLEEP}
  %one = icmp eq i64 %most, 1
  %chosen = call i64 @field_choice(ptr %C)
  %threads = call i64 @field_threads(ptr %C)
{loop("t", "%threads", "begin", "end", found=(0, "%found1"))}
  %T = call ptr @block_of(ptr %C, i64 %t)
  %awaited = call i64 @word_get(ptr %T, i64 2)
  %sleeps = icmp eq i64 %awaited, %marked
  %mine = icmp eq i64 %found, %chosen
  %all = xor i1 %one, true
  %wanted = or i1 %mine, %all
  %hit = and i1 %sleeps, %wanted
  br i1 %hit, label %wake, label %next
wake:
  call void @word_set(ptr %T, i64 2, i64 {WOKEN})
  br label %next
next:
  %counted = zext i1 %sleeps to i64
  %found1 = add i64 %found, %counted
{again("t")}
end:
  %none = icmp eq i64 %found, 0
  %ways = select i1 %one, i64 %found, i64 1
  %choices = select i1 %none, i64 1, i64 %ways
  call void @set_fanout(ptr %C, i64 %choices)
  %lone = select i1 %none, i64 0, i64 1
  %woken = select i1 %one, i64 %lone, i64 %found
  call void @set_value(ptr %C, i64 %woken)
  ret i64 0
}}
"""
