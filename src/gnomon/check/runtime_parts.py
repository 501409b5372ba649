"""runtime_parts: accesses to some bytes of a word, as LLVM text.

A set of bytes has a bit for each, without gaps; 0 stands for the whole word. In a store buffer it lies behind the address. A load whose
bytes are all in the newest buffered store that it meets takes them from there; one that needs more waits until that store has drained,
as x86 CPUs do. A drain changes the bytes of its store and leaves the others as they are in memory by then.
"""

PARTS = r"""
; the bits of a word that a set of bytes covers; not for the whole word
define internal i64 @bits_of(i64 %bytes) alwaysinline {
  %low = call i64 @llvm.cttz.i64(i64 %bytes, i1 0)
  %count = call i64 @llvm.ctpop.i64(i64 %bytes)
  %size = shl i64 %count, 3
  %beyond = shl i64 1, %size
  %ones = sub i64 %beyond, 1
  %shift = shl i64 %low, 3
  %bits = shl i64 %ones, %shift
  ret i64 %bits
}

; a value where it lies in the word
define internal i64 @placed(i64 %bytes, i64 %value) alwaysinline {
  %whole = icmp eq i64 %bytes, 0
  br i1 %whole, label %all, label %part
all:
  ret i64 %value
part:
  %low = call i64 @llvm.cttz.i64(i64 %bytes, i1 0)
  %shift = shl i64 %low, 3
  %moved = shl i64 %value, %shift
  %own = call i64 @trimmed(i64 %bytes, i64 %moved)
  ret i64 %own
}
; a word without its other bytes
define internal i64 @trimmed(i64 %bytes, i64 %word) alwaysinline {
  %whole = icmp eq i64 %bytes, 0
  br i1 %whole, label %all, label %part
all:
  ret i64 %word
part:
  %bits = call i64 @bits_of(i64 %bytes)
  %own = and i64 %word, %bits
  ret i64 %own
}

; a word with the bytes of a placed value in it
define internal i64 @over(i64 %word, i64 %bytes, i64 %value) alwaysinline {
  %whole = icmp eq i64 %bytes, 0
  br i1 %whole, label %all, label %part
all:
  ret i64 %value
part:
  %bits = call i64 @bits_of(i64 %bytes)
  %others = xor i64 %bits, -1
  %kept = and i64 %word, %others
  %together = or i64 %kept, %value
  ret i64 %together
}
define internal i64 @over_memory(ptr %C, i64 %address, i64 %bytes, i64 %value) alwaysinline {
  %whole = icmp eq i64 %bytes, 0
  br i1 %whole, label %all, label %part
all:
  ret i64 %value
part:
  %word = call i64 @memory_get(ptr %C, i64 %address)
  %together = call i64 @over(i64 %word, i64 %bytes, i64 %value)
  ret i64 %together
}

; what memory will hold once the thread's buffer has drained
define internal i64 @merged(ptr %C, ptr %R, i64 %address) noinline {
  %count = call i64 @word_get(ptr %R, i64 1)
  %memory = call i64 @memory_get(ptr %C, i64 %address)
  br label %loop
loop:
  %i = phi i64 [ 0, %0 ], [ %i1, %next ]
  %word = phi i64 [ %memory, %0 ], [ %word1, %next ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %next, label %done
next:
  %twice = shl i64 %i, 1
  %at = add i64 %twice, 4
  %at1 = add i64 %twice, 5
  %entry = call i64 @word_get(ptr %R, i64 %at)
  %value = call i64 @word_get(ptr %R, i64 %at1)
  %place = and i64 %entry, ADDRESS_BITS
  %bytes = lshr i64 %entry, PART_SHIFT
  %hit = icmp eq i64 %place, %address
  %after = call i64 @over(i64 %word, i64 %bytes, i64 %value)
  %word1 = select i1 %hit, i64 %after, i64 %word
  %i1 = add i64 %i, 1
  br label %loop
done:
  ret i64 %word
}

; 32 bits of a word, sign-extended, or all of it
define internal i64 @half_of(i64 %bytes, i64 %word) alwaysinline {
  %whole = icmp eq i64 %bytes, 0
  br i1 %whole, label %all, label %part
all:
  ret i64 %word
part:
  %low = call i64 @llvm.cttz.i64(i64 %bytes, i1 0)
  %shift = shl i64 %low, 3
  %moved = lshr i64 %word, %shift
  %half = trunc i64 %moved to i32
  %signed = sext i32 %half to i64
  ret i64 %signed
}

; keeps the bytes for whoever reads the trace, and finds sets that do not lie where accesses of their size do
define internal i1 @misaligned(ptr %C, i64 %address, i64 %bytes) alwaysinline {
  %whole = icmp eq i64 %bytes, 0
  br i1 %whole, label %fine, label %part
part:
  call void @set_bytes(ptr %C, i64 %bytes)
  %low = call i64 @llvm.cttz.i64(i64 %bytes, i1 0)
  %count = call i64 @llvm.ctpop.i64(i64 %bytes)
  %last = sub i64 %count, 1
  %odd = and i64 %low, %last
  %wrong = icmp ne i64 %odd, 0
  br i1 %wrong, label %broken, label %fine
broken:
  call void @set_address(ptr %C, i64 %address)
  call void @set_violation(ptr %C, i64 5)
  ret i1 1
fine:
  ret i1 0
}

define internal i64 @do_read_part(ptr %C, ptr %R, i64 %thread, i64 %address, i64 %bytes) noinline {
  %misplaced = call i1 @misaligned(ptr %C, i64 %address, i64 %bytes)
  br i1 %misplaced, label %wrong, label %start
wrong:
  ret i64 4
start:
  %status = call i64 @touch(ptr %C, ptr %R, i64 %thread, i64 %address, i64 0)
  %bad = icmp ugt i64 %status, 2
  br i1 %bad, label %out, label %scan
out:
  ret i64 %status
scan:
  %count = call i64 @word_get(ptr %R, i64 1)
  br label %loop
loop:
  %n = phi i64 [ %count, %scan ], [ %i, %entry ], [ %i, %here ]
  %none = icmp eq i64 %n, 0
  br i1 %none, label %memory, label %entry
entry:
  %i = sub i64 %n, 1
  %twice = shl i64 %i, 1
  %at = add i64 %twice, 4
  %a = call i64 @word_get(ptr %R, i64 %at)
  %place = and i64 %a, ADDRESS_BITS
  %hit = icmp eq i64 %place, %address
  br i1 %hit, label %here, label %loop
here:
  %stored = lshr i64 %a, PART_SHIFT
  %whole = icmp eq i64 %stored, 0
  %covers = select i1 %whole, i64 255, i64 %stored
  %common = and i64 %covers, %bytes
  %apart = icmp eq i64 %common, 0
  br i1 %apart, label %loop, label %meets
meets:
  %inside = icmp eq i64 %common, %bytes
  br i1 %inside, label %forward, label %blocked
blocked:
  ret i64 1
forward:
  %at1 = add i64 %at, 1
  %buffered = call i64 @word_get(ptr %R, i64 %at1)
  br label %take
memory:
  %kept = call i64 @memory_get(ptr %C, i64 %address)
  br label %take
take:
  %word = phi i64 [ %buffered, %forward ], [ %kept, %memory ]
  %bits = call i64 @bits_of(i64 %bytes)
  %mine = and i64 %word, %bits
  %low = call i64 @llvm.cttz.i64(i64 %bytes, i1 0)
  %shift = shl i64 %low, 3
  %value = lshr i64 %mine, %shift
  call void @set_value(ptr %C, i64 %value)
  ret i64 %status
}
"""
