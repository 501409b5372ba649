# RV64I, control flow: branches both ways, links, JALR's low bit, targets on two-byte boundaries, far targets.

#include "harness.h"

        .macro  taken op, a, b
        test
        li      a2, \a
        li      a3, \b
        li      a4, 0
        \op     a2, a3, 1f
2:      li      a4, 1
1:      expect  a4, 0
        j       3f
4:      j       5f
3:      \op     a2, a3, 4b                              # backwards
        li      a4, 2
5:      expect  a4, 0
        .endm

        .macro  not_taken op, a, b
        test
        li      a2, \a
        li      a3, \b
        li      a4, 0
        \op     a2, a3, 1f
        li      a4, 1
1:      expect  a4, 1
        .endm

        tests   branch
        taken     beq,  0, 0
        taken     beq,  -1, -1
        not_taken beq,  0, 0x100000000
        not_taken beq,  1, -1
        taken     bne,  0, 0x8000000000000000
        not_taken bne,  5, 5
        taken     blt,  -1, 0
        taken     blt,  0x8000000000000000, 0x7fffffffffffffff
        not_taken blt,  0, -1
        not_taken blt,  4, 4
        taken     bge,  0, -1
        taken     bge,  4, 4
        not_taken bge,  -1, 0
        not_taken bge,  0x8000000000000000, 0
        taken     bltu, 0, -1
        taken     bltu, 0x7fffffffffffffff, 0x8000000000000000
        not_taken bltu, -1, 0
        not_taken bltu, 4, 4
        taken     bgeu, -1, 0
        taken     bgeu, 4, 4
        not_taken bgeu, 0, -1
        not_taken bgeu, 1, 0xffffffff

        # JAL and JALR link to the next instruction.
        test
        jal     a2, 1f
2:      j       .
1:      la      a3, 2b
        expect_same a2, a3
        jal     x0, 1f
        j       .
1:      expect  x0, 0
        test
        la      a4, 1f
        jalr    a2, 0(a4)
2:      j       .
1:      la      a3, 2b
        expect_same a2, a3
        test                                            # rd = rs1: the target is the old value
        la      a4, 1f
        jalr    a4, 0(a4)
2:      j       .
1:      la      a3, 2b
        expect_same a4, a3
        test                                            # the low bit of the sum is cleared
        la      a4, 1f
        jalr    x0, 1(a4)
        j       .
1:      la      a4, 1f + 1
        jalr    x0, 0(a4)
        j       .
1:      la      a4, 1f + 5
        jalr    x0, -4(a4)
        j       .
1:      la      a4, 1f - 2047
        jalr    x0, 2047(a4)
        j       .
1:      la      a4, 1f + 2048
        jalr    x0, -2048(a4)
        j       .
1:
        # A 32-bit instruction two bytes off a word. (One that crosses a page: fence.S.)
        test
        la      a4, odd
        li      a2, 0
        jalr    ra, 0(a4)
        expect  a2, 0x123

        # Near the ends of a branch's reach.
        test
        li      a2, 0
        beqz    x0, far_branch
back_branch:
        expect  a2, 1

        # Near the end of JAL's: too far for a small file, so the target is copied there.
        test
        la      a3, stub
        la      a4, far_jump
        ld      a2, 0(a3)
        sd      a2, 0(a4)
        fence.i
        li      a2, 0
        jal     a5, far_jump
        expect  a2, 0x456

        # A chain of calls and returns.
        test
        li      a2, 0
        jal     ra, outer
        expect  a2, 111
        illegal 0x00002063                              # branch, funct3 = 2
        illegal 0x00003063                              # branch, funct3 = 3
        illegal 0x00001067                              # jalr, funct3 = 1
        done

outer:  mv      s0, ra
        addi    a2, a2, 1
        jal     t0, inner                               # the alternate link register
        addi    a2, a2, 100
        mv      ra, s0
        ret
inner:  addi    a2, a2, 10
        jr      t0

        .option push
        .option rvc
        .balign 4
        c.nop
odd:    .option norvc
        li      a2, 0x123
        .option rvc
        c.jr    ra
        .balign 4
        .option pop

        .balign 8
stub:   li      a2, 0x456
        jr      a5
        .set    far_jump, _start + 0xff000

        .skip   4080 - (. - back_branch)
far_branch:
        li      a2, 1
        j       back_branch
