# A: every AMO in both widths with its sign extension, all order bits, LR/SC won and lost, misaligned ones.

#include "harness.h"

        # Memory holds a, the register b: rd gets what was there, memory becomes `result`. The .w forms leave the upper half.
        .macro  amo_d op, result, a, b
        test
        li      s2, \a
        li      s3, \b
        li      s4, \result
        la      s5, cell
        .irp    order, .d, .d.aq, .d.rl, .d.aqrl
        sd      s2, 0(s5)
        \op\order a5, s3, (s5)
        jal     ra, check_d
        .endr
        sd      s2, 0(s5)
        \op\().d x0, s3, (s5)                           # rd = x0 still writes memory
        ld      a5, 0(s5)
        expect_same a5, s4
        expect  x0, 0
        sd      s2, 0(s5)
        mv      a3, s3
        \op\().d a3, a3, (s5)                           # rd = rs2
        expect_same a3, s2
        sd      s2, 0(s5)
        mv      a4, s5
        \op\().d a4, s3, (a4)                           # rd = rs1
        expect_same a4, s2
        .endm

        .macro  amo_w op, result, a, b
        test
        li      s2, \a
        li      s3, \b
        li      s4, \result
        li      s6, 0x5555555555555555
        .irp    at, 0, 4
        la      s5, cell + \at
        .irp    order, .w, .w.aq, .w.rl, .w.aqrl
        sd      s6, -\at(s5)
        sw      s2, 0(s5)
        \op\order a5, s3, (s5)
        sext.w  a2, s2
        lw      a6, 4 - 2 * \at(s5)
        jal     ra, check_w
        .endr
        .endr
        .endm

        .set    MIN, 0x8000000000000000
        .set    MAX, 0x7fffffffffffffff
        .set    MIN_W, 0xffffffff80000000

        tests   atomic
        amo_d   amoswap, 7, -1, 7
        amo_d   amoadd,  MIN, MAX, 1
        amo_d   amoadd,  -2, -1, -1
        amo_d   amoxor,  0xff00, 0xf0f0, 0x0ff0
        amo_d   amoand,  0x00f0, 0xf0f0, 0x0ff0
        amo_d   amoor,   0xfff0, 0xf0f0, 0x0ff0
        amo_d   amomin,  MIN, MIN, MAX
        amo_d   amomin,  -1, 1, -1
        amo_d   amomax,  MAX, MIN, MAX
        amo_d   amomax,  1, 1, -1
        amo_d   amominu, MAX, MIN, MAX
        amo_d   amominu, 1, 1, -1
        amo_d   amomaxu, MIN, MIN, MAX
        amo_d   amomaxu, -1, 1, -1
        amo_w   amoswap, 7, -1, 7
        amo_w   amoswap, MIN_W, 1, 0x1234567880000000
        amo_w   amoadd,  MIN_W, 0x7fffffff, 0xffffffff00000001
        amo_w   amoadd,  0, -1, 1
        amo_w   amoxor,  0xff00, 0xf0f0, 0x1100000ff0
        amo_w   amoand,  0x00f0, 0xf0f0, 0x0ff0
        amo_w   amoor,   -1, 0xfffff0f0, 0x0fff
        amo_w   amomin,  MIN_W, 0x80000000, 0x7fffffff
        amo_w   amomin,  -1, 1, 0x00000000ffffffff      # only 32 bits of rs2 count
        amo_w   amomax,  0x7fffffff, 0x80000000, 0x7fffffff
        amo_w   amomax,  1, 1, 0x00000000ffffffff
        amo_w   amominu, 0x7fffffff, 0x80000000, 0x7fffffff
        amo_w   amominu, 1, 1, -1
        amo_w   amomaxu, MIN_W, 0x80000000, 0x7fffffff
        amo_w   amomaxu, -1, 1, 0x12345678ffffffff

        # SC right after LR of the same address succeeds, given a few tries.
        .macro  won w, load, value
        test
        .irp    order, \w, \w\().aq, \w\().aqrl
        la      a4, cell
        li      a5, MIN_W | 0x123
        sd      a5, 0(a4)
        li      a3, \value
        li      a6, 1000
1:      addi    a6, a6, -1
        beqz    a6, 2f
        lr\order a2, (a4)
        sc\w    a5, a3, (a4)
        bnez    a5, 1b
2:      sc\w    a7, x0, (a4)                            # the reservation is used up
        expect  a5, 0
        expect  a2, MIN_W | 0x123
        snez    a7, a7
        expect  a7, 1
        \load   a2, 0(a4)
        expect_same a2, a3
        .endr
        .endm
        won     .w, lw, 0x7654321
        won     .d, ld, 0x123456789abcdef

        .macro  lost w, between:vararg                  # after LR and `between`, SC must fail and write nothing
        test
        la      a4, cell
        la      a6, other
        li      a5, 77
        sd      a5, 0(a4)
        lr\w    a2, (a4)
        \between
        li      a3, 88
        sc\w    a5, a3, (a4)
        snez    a5, a5
        expect  a5, 1
        ld      a2, 0(a4)
        expect  a2, 77
        .endm
        lost    .w, sc.w x0, x0, (a6)                   # an SC anywhere ends the reservation
        lost    .d, sc.d x0, x0, (a6)
        lost    .w, lr.w x0, (a6)                       # a second LR moves it
        lost    .d, lr.d x0, (a6)

        test                                            # SC without any LR
        la      a4, cell
        li      a5, 77
        sd      a5, 0(a4)
        sc.d    x0, x0, (a4)
        li      a3, 88
        sc.d    a5, a3, (a4)
        snez    a5, a5
        expect  a5, 1
        sc.w    a4, a3, (a4)                            # rd = rs1
        snez    a4, a4
        expect  a4, 1
        la      a4, cell
        ld      a2, 0(a4)
        expect  a2, 77

        test                                            # LR.W sign-extends; rd = rs1
        la      a4, cell
        li      a2, 0x80000000
        sd      a2, 0(a4)
        lr.w    a2, (a4)
        expect  a2, MIN_W
        lr.w    a4, (a4)
        expect  a4, MIN_W

        # Misaligned: succeed as a whole (Zam), or trap as misaligned or as access fault with the address in mtval.
        .macro  askew cause_misaligned, cause_access, instruction:vararg
        test
        la      a4, cell + 2
        li      a5, 0
        la      s10, 1f
        \instruction
        li      s10, 0
        j       2f
1:      last_trap CAUSE, a2
        li      a3, CAUSE_LOAD_MISALIGNED               # QEMU with one hart makes an AMO of a load and a store
        beq     a2, a3, 3f
        expect_either a2, \cause_misaligned, \cause_access
3:
        last_trap TVAL, a2
        la      a3, cell + 2
        expect_same a2, a3
2:
        .endm
        .irp    w, .w, .d
        askew   CAUSE_LOAD_MISALIGNED, CAUSE_LOAD_FAULT, lr\w a5, (a4)
        askew   CAUSE_STORE_MISALIGNED, CAUSE_STORE_FAULT, sc\w a5, a5, (a4)
        .endr
        .irp    op, amoswap, amoadd, amoxor, amoand, amoor, amomin, amomax, amominu, amomaxu
        askew   CAUSE_STORE_MISALIGNED, CAUSE_STORE_FAULT, \op\().w a5, a5, (a4)
        askew   CAUSE_STORE_MISALIGNED, CAUSE_STORE_FAULT, \op\().d a5, a5, (a4)
        .endr

        # A fault of an AMO is a store's, also when the load would have faulted (QEMU with one hart: a load's); LR's is a load's.
        li      a4, UNMAPPED
        .irp    op, amoadd.w, amoswap.d
        test
        la      s10, 1f
        \op     a5, a5, (a4)
        jal     ra, did_not_trap
1:      last_trap CAUSE, a2
        expect_either a2, CAUSE_STORE_FAULT, CAUSE_LOAD_FAULT
        expect_tval UNMAPPED
        .endr
        traps   CAUSE_LOAD_FAULT, lr.d a5, (a4)
        expect_tval UNMAPPED

        illegal 0x1015252f                              # lr.w with rs2 = x1
        illegal 0x0000002f                              # .b
        illegal 0x0000102f                              # .h
        illegal 0x0000402f                              # .q
        illegal 0x2800202f                              # funct5 = 5
        done

check_d:                                                # rd, then memory; ra tells which call
        mv      a0, a5
        mv      a1, s2
        bne     a0, a1, failed
        ld      a0, 0(s5)
        mv      a1, s4
        bne     a0, a1, failed
        ret
check_w:
        mv      a0, a5
        mv      a1, a2                                  # sign-extended, whatever the operation's own sign
        bne     a0, a1, failed
        lw      a0, 0(s5)
        mv      a1, s4
        bne     a0, a1, failed
        mv      a0, a6                                  # the other half of the doubleword
        sext.w  a1, s6
        bne     a0, a1, failed
        ret

        .section .bss
        .balign 64
cell:   .skip   16
        .skip   4096                                    # in no one's reservation set of `cell`
other:  .skip   8
