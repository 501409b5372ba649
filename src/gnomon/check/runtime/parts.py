"""parts: sets of bytes of a word, as LLVM text.

A set has a bit for each of its bytes, without gaps; 0 stands for the whole word. In a store buffer it lies behind the address.
"""

PARTS = r"""
declare i64 @llvm.cttz.i64(i64, i1)
declare i64 @llvm.ctpop.i64(i64)

; a set of bytes with a bit for each, also for the whole word
define internal i64 @covered(i64 %bytes) alwaysinline {
  %whole = icmp eq i64 %bytes, 0
  %all = select i1 %whole, i64 255, i64 %bytes
  ret i64 %all
}

; how far up the word the first byte lies
define internal i64 @shift_of(i64 %bytes) alwaysinline {
  %all = call i64 @covered(i64 %bytes)
  %low = call i64 @llvm.cttz.i64(i64 %all, i1 1)
  %shift = shl i64 %low, 3
  ret i64 %shift
}

; the bits of a word that a set of bytes covers
define internal i64 @bits_of(i64 %bytes) alwaysinline {
  %all = call i64 @covered(i64 %bytes)
  %count = call i64 @llvm.ctpop.i64(i64 %all)
  %size = shl i64 %count, 3
  %beyond = sub i64 64, %size
  %ones = lshr i64 -1, %beyond
  %shift = call i64 @shift_of(i64 %bytes)
  %bits = shl i64 %ones, %shift
  ret i64 %bits
}

; a word without its other bytes
define internal i64 @trimmed(i64 %bytes, i64 %word) alwaysinline {
  %bits = call i64 @bits_of(i64 %bytes)
  %own = and i64 %word, %bits
  ret i64 %own
}

; a value where it lies in the word
define internal i64 @placed(i64 %bytes, i64 %value) alwaysinline {
  %shift = call i64 @shift_of(i64 %bytes)
  %moved = shl i64 %value, %shift
  %own = call i64 @trimmed(i64 %bytes, i64 %moved)
  ret i64 %own
}

; the value that lies there
define internal i64 @taken(i64 %bytes, i64 %word) alwaysinline {
  %own = call i64 @trimmed(i64 %bytes, i64 %word)
  %shift = call i64 @shift_of(i64 %bytes)
  %value = lshr i64 %own, %shift
  ret i64 %value
}

; 32 bits of a word, sign-extended, or all of it
define internal i64 @half_of(i64 %bytes, i64 %word) alwaysinline {
  %shift = call i64 @shift_of(i64 %bytes)
  %moved = lshr i64 %word, %shift
  %half = trunc i64 %moved to i32
  %signed = sext i32 %half to i64
  %whole = icmp eq i64 %bytes, 0
  %value = select i1 %whole, i64 %word, i64 %signed
  ret i64 %value
}

; a word with the bytes of a placed value in it
define internal i64 @over(i64 %word, i64 %bytes, i64 %value) alwaysinline {
  %bits = call i64 @bits_of(i64 %bytes)
  %others = xor i64 %bits, -1
  %kept = and i64 %word, %others
  %together = or i64 %kept, %value
  ret i64 %together
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
"""
