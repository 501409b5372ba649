# M: products high and low, every sign, and division's corners, which do not trap.

#include "harness.h"

        .macro  rr op, result, a, b
        test
        li      a2, \a
        li      a3, \b
        \op     a4, a2, a3
        expect  a4, \result
        mv      a4, a2
        \op     a4, a4, a3
        expect  a4, \result
        mv      a4, a3
        \op     a4, a2, a4
        expect  a4, \result
        \op     x0, a2, a3
        expect  x0, 0
        .endm

        .set    MIN, 0x8000000000000000
        .set    MAX, 0x7fffffffffffffff

        tests   muldiv
        rr      mul,    42, 6, 7
        rr      mul,    1, -1, -1
        rr      mul,    MIN, MIN, -1
        rr      mul,    0, MIN, 2
        rr      mul,    0x35a1df76f0d5adf0, 0x123456789abcdef0, 0xfedcba9876543211
        rr      mulh,   0, -1, -1
        rr      mulh,   -1, -1, 1
        rr      mulh,   0x4000000000000000, MIN, MIN
        rr      mulh,   0x3fffffffffffffff, MAX, MAX
        rr      mulh,   0xc000000000000000, MIN, MAX
        rr      mulhu,  0xfffffffffffffffe, -1, -1
        rr      mulhu,  0x4000000000000000, MIN, MIN
        rr      mulhu,  0, 0xffffffff, 0xffffffff
        rr      mulhu,  1, 0x100000000, 0x100000000
        rr      mulhsu, -1, -1, -1
        rr      mulhsu, 0, 1, -1
        rr      mulhsu, MIN, MIN, -1
        rr      mulhsu, 0x7ffffffffffffffe, MAX, -1
        rr      mulw,   1, 0xffffffff, 0x1ffffffff
        rr      mulw,   0xffffffff80000000, 0x40000000, 2
        rr      mulw,   0, 0x100000000, 5

        rr      div,    -3, 10, -3
        rr      div,    -3, -10, 3
        rr      div,    3, -10, -3
        rr      div,    -1, 7, 0
        rr      div,    -1, 0, 0
        rr      div,    MIN, MIN, -1
        rr      div,    MIN, MIN, 1
        rr      divu,   0, 10, -3
        rr      divu,   0x5555555555555555, -1, 3
        rr      divu,   -1, 7, 0
        rr      divu,   0, MIN, -1
        rr      rem,    1, 10, -3
        rr      rem,    -1, -10, 3
        rr      rem,    -1, -10, -3
        rr      rem,    7, 7, 0
        rr      rem,    0, MIN, -1
        rr      remu,   10, 10, -3
        rr      remu,   MIN, MIN, -1
        rr      remu,   -7, -7, 0
        rr      divw,   -3, 0xfffffff6, 3
        rr      divw,   0xffffffff80000000, 0x80000000, 0xffffffff
        rr      divw,   -1, 5, 0x100000000
        rr      divw,   2, 0x1234567800000006, 3
        rr      divuw,  0x55555555, 0xffffffff, 3
        rr      divuw,  0xffffffff80000000, 0x80000000, 1
        rr      divuw,  -1, 5, 0x100000000
        rr      remw,   -1, 0xfffffff6, 3
        rr      remw,   0, 0x80000000, 0xffffffff
        rr      remw,   0xffffffff80000000, 0x80000000, 0
        rr      remuw,  0, 0xfffffff6, 3
        rr      remuw,  0xffffffff80000000, 0x80000000, 0
        rr      remuw,  0xffffffff80000000, 0x80000000, 0xffffffff

        illegal 0x0220153b                              # mulhw does not exist
        illegal 0x0220253b
        illegal 0x0220353b
        done
