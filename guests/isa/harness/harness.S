# Start, trap handler and verdict of the instruction tests: no C, no stack, no compressed instruction.
# With HTIF defined the verdict goes to the word `tohost` instead of the console and the finisher.

#include "harness.h"

        .section .text.start, "ax"
        .globl  _start
_start:
        bnez    a0, park
        la      t0, 1f
        csrw    mtvec, t0
        li      t0, -1                          # all memory to S and U, on harts that have PMP
        csrw    pmpaddr0, t0
        li      t0, 0x1f
        csrw    pmpcfg0, t0
        .balign 4
1:      la      t0, trap
        csrw    mtvec, t0
        la      t0, trapped
        csrw    mscratch, t0
        la      t0, trapped_s
        csrw    sscratch, t0
        la      t0, trap_s
        csrw    stvec, t0
        csrw    mie, zero
        csrw    mip, zero
        csrw    satp, zero
        la      sp, stack_top
        li      s10, 0
        li      s11, 0
        j       run

park:   csrw    mie, zero
1:      wfi
        j       1b

# Traps to M-mode: note what happened, go on at s10 in M-mode. An interrupt also closes mie, for it would come again.
        .globl  trap
        .balign 4
trap:   csrrw   t6, mscratch, t6
        sd      t5, 0(t6)
        csrr    t5, mcause
        sd      t5, CAUSE(t6)
        bgez    t5, 1f
        csrw    mie, zero
1:      csrr    t5, mepc
        sd      t5, EPC(t6)
        csrr    t5, mtval
        sd      t5, TVAL(t6)
        csrr    t5, mstatus
        sd      t5, STATUS(t6)
        beqz    s10, unexpected
        csrw    mepc, s10
        li      s10, 0
        li      t5, MSTATUS_MPP
        csrs    mstatus, t5
        ld      t5, 0(t6)
        csrrw   t6, mscratch, t6
        mret

# Traps to S-mode: note them apart, and tell M-mode by ecall; that goes on at s10.
        .globl  trap_s
        .balign 4
trap_s: csrrw   t6, sscratch, t6
        sd      t5, 0(t6)
        csrr    t5, scause
        sd      t5, CAUSE(t6)
        bgez    t5, 1f
        csrw    sie, zero
1:      csrr    t5, sepc
        sd      t5, EPC(t6)
        csrr    t5, stval
        sd      t5, TVAL(t6)
        csrr    t5, sstatus
        sd      t5, STATUS(t6)
        ld      t5, 0(t6)
        csrrw   t6, sscratch, t6
        ecall
        j       park

unexpected:
        csrw    satp, zero
        ld      s0, CAUSE(t6)
        ld      s1, EPC(t6)
        ld      s2, TVAL(t6)
        la      a0, text_fail
        jal     ra, put_string
        jal     ra, put_test
        la      a0, text_trap
        mv      a1, s0
        jal     ra, put_item
        la      a0, text_epc
        mv      a1, s1
        jal     ra, put_item
        la      a0, text_tval
        mv      a1, s2
        j       fail_item

# The check before ra found a0 where it wanted a1.
        .globl  failed, did_not_trap, passed
failed: mv      s0, a0
        mv      s1, a1
        mv      s2, ra
        la      a0, text_fail
        jal     ra, put_string
        jal     ra, put_test
        la      a0, text_at
        mv      a1, s2
        jal     ra, put_item
        la      a0, text_expected
        mv      a1, s1
        jal     ra, put_item
        la      a0, text_found
        mv      a1, s0
        j       fail_item

        .irp    what, cause, epc, tval          # ra stays the address of the check
        .globl  check_\what
        .endr
check_cause:
        la      t0, trapped
        ld      a0, CAUSE(t0)
        bne     a0, a1, failed
        ret
check_epc:
        la      t0, trapped
        ld      a0, EPC(t0)
        bne     a0, a1, failed
        ret
check_tval:
        la      t0, trapped
        ld      a0, TVAL(t0)
        bne     a0, a1, failed
        ret

did_not_trap:
        mv      s0, ra
        la      t0, here                        # we may be in any mode: be in M-mode first
        mv      s10, t0
        ecall
here:   la      a0, text_fail
        jal     ra, put_string
        jal     ra, put_test
        la      a0, text_no_trap
        mv      a1, s0
fail_item:
        jal     ra, put_item
        li      a0, '\n'
        jal     ra, put_char
        bnez    s11, 1f
        li      s11, 1
1:      mv      a0, s11
        j       finish

passed: mv      s0, a0
        csrw    satp, zero
        la      a0, text_pass
        jal     ra, put_string
        la      a0, name
        jal     ra, put_string
        la      a0, text_tests
        mv      a1, s0
        jal     ra, put_count
        li      a0, '\n'
        jal     ra, put_char
        li      a0, 0

#ifdef HTIF
finish: slli    a0, a0, 1
        ori     a0, a0, 1
        la      t0, tohost
        sd      a0, 0(t0)
        j       .

put_char:
        ret

        .section .tohost, "aw"
        .globl  tohost, fromhost
        .balign 64
tohost: .dword  0
        .balign 64
fromhost:
        .dword  0
        .text
#else
finish: li      t0, 0x5555
        beqz    a0, 1f
        slli    a0, a0, 16
        li      t0, 0x3333
        or      t0, t0, a0
1:      li      t1, 0x00100000
        sw      t0, 0(t1)
        j       .

put_char:                                       # clobbers t0, t1
        li      t0, 0x10000000
1:      lbu     t1, 5(t0)
        andi    t1, t1, 0x20
        beqz    t1, 1b
        sb      a0, 0(t0)
        ret
#endif

put_test:                                       # the name, ": test n"; clobbers s3, s4, s5, s6
        mv      s5, ra
        la      a0, name
        jal     ra, put_string
        la      a0, text_test
        mv      a1, s11
        mv      ra, s5

put_count:                                      # the text a0, the number a1 below 1000 in decimal; clobbers s3, s4, s6
        mv      s6, ra
        mv      s4, a1
        jal     ra, put_string
        li      s3, 100
        li      t3, 0                           # a digit other than 0 so far
1:      li      a0, '0'
2:      bltu    s4, s3, 3f                      # by subtraction: division may be what is broken
        addi    a0, a0, 1
        sub     s4, s4, s3
        j       2b
3:      addi    t2, a0, -'0'
        or      t3, t3, t2
        li      t2, 1
        beq     s3, t2, 6f
        beqz    t3, 7f
6:      jal     ra, put_char
7:      li      t2, 100
        beq     s3, t2, 4f
        li      t2, 10
        beq     s3, t2, 5f
        jr      s6
4:      li      s3, 10
        j       1b
5:      li      s3, 1
        j       1b

put_item:                                       # the text a0, the number a1 in hexadecimal; clobbers s3, s4, s6
        mv      s6, ra
        mv      s4, a1
        jal     ra, put_string
        li      s3, 60
1:      srl     t2, s4, s3                      # skip leading zeros
        bnez    t2, 2f
        beqz    s3, 2f
        addi    s3, s3, -4
        j       1b
2:      srl     a0, s4, s3
        andi    a0, a0, 15
        li      t2, 10
        blt     a0, t2, 3f
        addi    a0, a0, 'a' - '0' - 10
3:      addi    a0, a0, '0'
        jal     ra, put_char
        addi    s3, s3, -4
        bgez    s3, 2b
        jr      s6

put_string:                                     # clobbers s7, s8
        mv      s8, ra
        mv      s7, a0
1:      lbu     a0, 0(s7)
        beqz    a0, 2f
        jal     ra, put_char
        addi    s7, s7, 1
        j       1b
2:      jr      s8

        .section .rodata
text_pass:      .asciz "PASS "
text_fail:      .asciz "FAIL "
text_tests:     .asciz " tests="
text_test:      .asciz ": test "
text_at:        .asciz " at 0x"
text_expected:  .asciz ": expected 0x"
text_found:     .asciz " found 0x"
text_no_trap:   .asciz ": no trap before 0x"
text_trap:      .asciz ": trap mcause=0x"
text_epc:       .asciz " mepc=0x"
text_tval:      .asciz " mtval=0x"

        .data
        .balign 16
        .globl  trapped, trapped_s, stack_top
trapped:        .skip 48
trapped_s:      .skip 48
        .skip   1024
stack_top:
