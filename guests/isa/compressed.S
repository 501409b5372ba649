# C: every compressed instruction of RV64C without floating point, its hints, and its reserved encodings.

#include "harness.h"

        .macro  c instruction:vararg
        .option push
        .option rvc
        \instruction
        .option pop
        .endm

        .macro  ci result, a, instruction:vararg        # works on a2
        test
        li      a2, \a
        c       \instruction
        expect  a2, \result
        .endm

        .macro  cr result, a, b, instruction:vararg     # works on a2, a3
        test
        li      a2, \a
        li      a3, \b
        c       \instruction
        expect  a2, \result
        expect  a3, \b
        .endm

        tests   compressed
        ci      -32, 5, c.li a2, -32
        ci      31, 5, c.li a2, 31
        ci      0x1f000, 5, c.lui a2, 31
        ci      0xfffffffffffe0000, 5, c.lui a2, 0xfffe0
        ci      0x7fffffffffffffff + 0, 0x8000000000000000, c.addi a2, -1
        ci      36, 5, c.addi a2, 31
        ci      -27, 5, c.addi a2, -32
        ci      0xffffffff80000000, 0x7fffffff, c.addiw a2, 1
        ci      0, 0xffffffff, c.addiw a2, 1
        ci      0x12345678, 0xabc12345678, c.addiw a2, 0
        ci      0xffffffff80000000, 0xabc80000000, c.addiw a2, 0
        ci      0x8000000000000000, 1, c.slli a2, 63
        ci      0x200000000, 2, c.slli a2, 32
        ci      1, 0x8000000000000000, c.srli a2, 63
        ci      1, 0x100000000, c.srli a2, 32
        ci      -1, 0x8000000000000000, c.srai a2, 63
        ci      0xffffffff80000000, 0x8000000000000000, c.srai a2, 32
        ci      0xf0f0, 0xf0f0, c.andi a2, -1
        ci      0xf0e0, 0xf0ff, c.andi a2, -32
        ci      0x1f, 0xffff, c.andi a2, 31
        cr      0x55, 1, 0x55, c.mv a2, a3
        cr      0, 0x55, -0x55, c.add a2, a3
        cr      -0x54, 1, 0x55, c.sub a2, a3
        cr      0x0ff0, 0xff00, 0xf0f0, c.xor a2, a3
        cr      0xfff0, 0xff00, 0xf0f0, c.or a2, a3
        cr      0xf000, 0xff00, 0xf0f0, c.and a2, a3
        cr      0xffffffff80000000, 0x7fffffff, 1, c.addw a2, a3
        cr      0x7fffffff, 0xffffffff80000000, 1, c.subw a2, a3
        cr      -1, 0x700000000, 1, c.subw a2, a3

        # All eight short registers in both places.
        test
        .irp    r, s0, s1, a2, a3, a4, a5
        li      a0, 0
        li      \r, 0x1200
        li      a1, 0x0034
        c       c.or a0, \r
        c       c.or \r, a1
        mv      t1, \r
        mv      t2, a0
        expect  t1, 0x1234
        expect  t2, 0x1200
        .endr

        # The stack pointer's own.
        test
        la      sp, stack_top
        mv      a3, sp
        c       c.addi16sp sp, -512
        sub     a4, sp, a3
        expect  a4, -512
        c       c.addi16sp sp, 496
        sub     a4, sp, a3
        expect  a4, -16
        c       c.addi16sp sp, 16
        c       c.addi4spn a2, sp, 4
        sub     a4, a2, a3
        expect  a4, 4
        c       c.addi4spn s1, sp, 1020
        sub     a4, s1, a3
        expect  a4, 1020
        test
        la      sp, block
        li      a2, 0x80000001
        c       c.swsp a2, 252(sp)
        c       c.lwsp a3, 252(sp)
        expect  a3, 0xffffffff80000001
        lw      a4, 252(sp)
        expect  a4, 0xffffffff80000001
        li      a2, 0x123456789abcdef0
        c       c.sdsp a2, 504(sp)
        c       c.ldsp s11, 504(sp)
        mv      a4, s11
        li      s11, number
        expect  a4, 0x123456789abcdef0
        c       c.sdsp a2, 0(sp)
        c       c.ldsp a4, 0(sp)
        expect_same a4, a2
        c       c.swsp x0, 4(sp)
        c       c.lwsp a4, 4(sp)
        expect  a4, 0
        la      sp, stack_top

        # Loads and stores through short registers.
        test
        la      s0, block
        li      a2, 0x80000002
        c       c.sw a2, 0(s0)
        c       c.lw a3, 0(s0)
        expect  a3, 0xffffffff80000002
        c       c.sw a2, 124(s0)
        lw      a3, 124(s0)
        expect  a3, 0xffffffff80000002
        c       c.lw s0, 124(s0)                        # rd = rs1
        expect  s0, 0xffffffff80000002
        test
        la      a5, block
        li      a2, 0x0123456789abcdef
        c       c.sd a2, 0(a5)
        c       c.ld a3, 0(a5)
        expect_same a3, a2
        c       c.sd a2, 248(a5)
        ld      a3, 248(a5)
        expect_same a3, a2
        c       c.sd a2, 64(a5)
        c       c.ld a5, 64(a5)
        expect_same a5, a2

        # Control flow. The offsets reach 2 KiB (j) and 256 bytes (branches).
        test
        li      a2, 1
        c       c.j 1f
        li      a2, 0
1:      expect  a2, 1
        c       c.beqz a2, 1f
        li      a2, 0
1:      expect  a2, 0
        c       c.beqz a2, 1f
        li      a2, 3
1:      expect  a2, 0
        c       c.bnez a2, 1f
        li      a2, 4
1:      expect  a2, 4
        c       c.bnez a2, 1f
        li      a2, 5
1:      expect  a2, 4
        j       2f
        .option push
        .option rvc
3:      c.beqz  a3, 4f
5:      c.bnez  a4, 6f
2:      li      a3, 0
        c.beqz  a3, 3b                                  # backwards
        .option pop
4:      li      a4, 1
        c       c.bnez a4, 5b
6:      test
        la      a3, 1f
        c       c.jr a3
        j       .
1:      la      a3, 1f
        c       c.jalr a3
2:      j       .
1:      la      a4, 2b                                  # links two bytes on
        expect_same ra, a4
        la      ra, 1f
        c       c.jalr ra                               # rd = rs1
2:      j       .
1:      la      a4, 2b
        expect_same ra, a4
        la      a3, 1f + 1
        c       c.jr a3                                 # the low bit is cleared
        j       .
1:      c       c.j 1f
        .skip   2040
1:      c       c.j 1f
2:      li      a5, 9
        j       3f
        .skip   2000
1:      c       c.j 2b
3:      expect  a5, 9

        # Hints change nothing.
        test
        li      a2, 5
        c       c.nop
        .irp    hint, 0x0005, 0x1001, 0x0601            # nop 1; nop -32; addi a2, 0
        .2byte  \hint
        .endr
        .irp    hint, 0x4005, 0x6005, 0x8006, 0x9006    # x0: li 1; lui 1; mv from x1; add x1
        .2byte  \hint
        .endr
        .irp    hint, 0x0006, 0x0602, 0x8201, 0x8601    # slli x0, 1; slli, srli, srai of a2 by 0
        .2byte  \hint
        .endr
        expect  a2, 5
        expect  x0, 0

        # C.EBREAK is two bytes long.
        traps   CAUSE_BREAKPOINT, .2byte 0x9002

        # Reserved, or not of this ISA: floating point is off.
        li      a2, MSTATUS_FS
        csrc    mstatus, a2
        .irp    fp, 0x2000, 0xa000, 0x2002, 0xa002      # fld, fsd, fldsp, fsdsp
        illegal_short \fp
        .endr
        illegal_short 0x0000                            # all zero: defined illegal
        illegal_short 0x0008                            # addi4spn with 0
        illegal_short 0x2001                            # addiw x0
        illegal_short 0x6101                            # addi16sp with 0
        illegal_short 0x6601                            # lui a2, 0
        illegal_short 0x8002                            # jr x0
        illegal_short 0x4002                            # lwsp x0
        illegal_short 0x6002                            # ldsp x0
        illegal_short 0x9c41                            # funct 1 10 of the W group
        illegal_short 0x9c61
        illegal_short 0x8000                            # quadrant 0, funct3 100 (Zcb, when present, begins there)
        done

        .data
        .balign 16
block:  .skip   1040
