"""text: what the LLVM text of the run time has again and again. Each of these ends one block and begins the next, `onward`."""

from __future__ import annotations


def stop_if(condition: str, status: int | str, onward: str) -> str:
    """Return `status` where the condition holds."""
    return f"  br i1 {condition}, label %{onward}_not, label %{onward}\n{onward}_not:\n  ret i64 {status}\n{onward}:"


def when_drained(onward: str) -> str:
    """Blocked while there is something in the thread's store buffer."""
    return f"""  %count_{onward} = call i64 @word_get(ptr %R, i64 1)
  %holds_{onward} = icmp ne i64 %count_{onward}, 0
{stop_if(f"%holds_{onward}", 1, onward)}"""


def as_own_step(onward: str) -> str:
    """Stop where this would join the step before."""
    return f"""  %peek_{onward} = call i64 @field_peek(ptr %C)
  %joins_{onward} = icmp eq i64 %peek_{onward}, 1
{stop_if(f"%joins_{onward}", 5, onward)}"""


def when_aligned(onward: str) -> str:
    """Stop where %bytes of a word do not lie where accesses of their size do."""
    return f"""  %misplaced = call i1 @misaligned(ptr %C, i64 %address, i64 %bytes)
{stop_if("%misplaced", 4, onward)}"""


def when_touched(writes: int | str, onward: str) -> str:
    """Stop where the thread may not touch the word now; %status is how it may."""
    return f"""  %status = call i64 @touch(ptr %C, ptr %R, i64 %thread, i64 %address, i64 {writes})
  %bad = icmp ugt i64 %status, 2
{stop_if("%bad", "%status", onward)}"""


def loop(i: str, count: str, before: str, after: str, **carried: tuple[object, str]) -> str:
    """A round for each %i below `count`, until again(i); then `after`. The loop stands in block `before`.

    carried   words that go from round to round: (first value, value for the next round)"""
    phis = "".join(
        f"  %{name} = phi i64 [ {first}, %{before} ], [ {following}, %{i}_end ]\n"
        for name, (first, following) in ({i: (0, f"%{i}_next")} | carried).items()
    )
    return f"""  br label %{i}_loop
{i}_loop:
{phis}  %{i}_more = icmp slt i64 %{i}, {count}
  br i1 %{i}_more, label %{i}_round, label %{after}
{i}_round:"""


def again(i: str) -> str:
    """The end of a round. A branch to %i_end goes on with the next one."""
    return f"  br label %{i}_end\n{i}_end:\n  %{i}_next = add i64 %{i}, 1\n  br label %{i}_loop"
