"""touch: may a thread touch a word now, and would others see it? As LLVM text.

Memory safety comes first. Then nobody else can see what a thread does to a word of whose candidate locks it holds one. An access to a
granule that is free at some time has to do with the granule's life, too: where that is not guarded, the access is a step of its own, or the
order in which the granule is freed before it would not be tried.
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

; an access with these locks has to do with a word, or with a life, 0 for none, that one of them guards
define internal void @narrow_to(ptr %C, i64 %address, i64 %locks) alwaysinline {{
  %none = icmp eq i64 %address, 0
  br i1 %none, label %done, label %look
look:
  %narrowed = call ptr @pointer_narrowed(ptr %C)
  %before = call i64 @word_get(ptr %narrowed, i64 %address)
  %remains = and i64 %before, %locks
  %same = icmp eq i64 %remains, %before
  br i1 %same, label %done, label %fewer
fewer:
  call void @narrow(ptr %C, i64 %address, i64 %remains)
  br label %done
done:
  ret void
}}

; the life that a store of this value to this word begins or ends, 0 for none. What a store that waits in a buffer makes of it is
; known when it leaves the buffer: it counts in any case. So does every store to a word of which one may wait, or a later one overtook it
define internal i64 @life_changed(ptr %C, ptr %R, i64 %address, i64 %value) alwaysinline {{
  %owners = call i64 @field_owners(ptr %C)
  %from = call i64 @field_owned_from(ptr %C)
  %to = call i64 @field_owned_to(ptr %C)
  %granule = call i64 @field_granule(ptr %C)
  %span = sub i64 %to, %from
  %count = lshr i64 %span, %granule
  %which = sub i64 %address, %owners
  %one = icmp ult i64 %which, %count
  br i1 %one, label %owner, label %none
owner:
  %mask = call i64 @field_owner_mask(ptr %C)
  %before = call i64 @seen_by(ptr %C, ptr %R, i64 %address)
  %was = and i64 %before, %mask
  %will = and i64 %value, %mask
  %alive = icmp ne i64 %was, 0
  %lives = icmp ne i64 %will, 0
  %differ = xor i1 %alive, %lives
  %tso = call i64 @field_tso(ptr %C)
  %guard = call ptr @pointer_guard(ptr %C)
  %candidates = call i64 @word_get(ptr %guard, i64 %address)
  %words = call i64 @field_words(ptr %C)
  %life = add i64 %words, %which
  %life_candidates = call i64 @word_get(ptr %guard, i64 %life)
  %bare = icmp eq i64 %candidates, 0
  %life_bare = icmp eq i64 %life_candidates, 0
  %either = or i1 %bare, %life_bare
  %weak = icmp ne i64 %tso, 0
  %waits = and i1 %either, %weak
  %may = or i1 %differ, %waits
  br i1 %may, label %changed, label %none
changed:
  ret i64 %life
none:
  ret i64 0
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
  %life_read = add i64 %words, %which
  br i1 %alive, label %guarded, label %freed
freed:
  call void @set_violation(ptr %C, i64 4)
  ret i64 4
guarded:
  %life_of = phi i64 [ 0, %owned ], [ 0, %range ], [ %life_read, %lookup ]
  %mortal = call i64 @field_mortal(ptr %C)
  %ends = icmp ne i64 %mortal, 0
  %life = select i1 %ends, i64 %mortal, i64 %life_of
  call void @set_mortal(ptr %C, i64 0)
  call void @set_life(ptr %C, i64 0)
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
  %lives = icmp ne i64 %life, 0
  %life_at = select i1 %lives, i64 %life, i64 %address
  %life_guard = call i64 @word_get(ptr %guard, i64 %life_at)
  %life_ro = select i1 %ends, i64 0, i64 {READ_ONLY}
  %life_mine = or i64 %locks, %life_ro
  %life_left = and i64 %life_guard, %life_mine
  %life_bare = icmp eq i64 %life_left, 0
  %mortally = and i1 %lives, %life_bare
  %safe = xor i1 %mortally, true
  %unseen = and i1 %hidden, %safe
  br i1 %unseen, label %invisible, label %visible
invisible:
  call void @narrow_to(ptr %C, i64 %life, i64 %life_mine)
  call void @narrow_to(ptr %C, i64 %address, i64 %mine2)
  ret i64 2
visible:
  %peeks = icmp eq i64 %peek, 1
  %late = icmp ne i64 %writes, 2
  %shown = or i1 %late, %mortally
  %stop = and i1 %peeks, %shown
{stop_if("%stop", 5, "seen")}
  br i1 %mortally, label %mortals, label %guarded_life
guarded_life:
  call void @narrow_to(ptr %C, i64 %life, i64 %life_mine)
  br label %own
mortals:
  call void @set_life(ptr %C, i64 %life)
  %ended = zext i1 %ends to i64
  call void @set_life_ends(ptr %C, i64 %ended)
  %life_relied = icmp ne i64 %life_guard, 0
  br i1 %life_relied, label %life_broke, label %own
life_broke:
  call void @narrow(ptr %C, i64 %life, i64 0)
  call void @add_to_broken(ptr %C, i64 1)
  br label %own
own:
  br i1 %hidden, label %guarded_still, label %bare
guarded_still:
  call void @narrow_to(ptr %C, i64 %address, i64 %mine2)
  ret i64 0
bare:
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
