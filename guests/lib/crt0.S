# Entry of every hart: M-mode, a0 = hart id, a1 = device tree or 0.
#
# Hart 0 clears .bss, reads the device tree and opens the gate; the others wait at it, on no stack.
# `gate` lives in .data, because .bss is not zero until hart 0 has made it so.
# Harts that the device tree does not name sleep for ever.

#include "layout.h"

        .section .text.start, "ax"
        .globl  _start
_start:
        csrw    mie, zero
        csrw    mip, zero
        mv      tp, a0                          # the hart id stays in tp
        .option push
        .option norelax
        la      gp, __global_pointer$
        .option pop
        la      t0, trap_entry_m
        csrw    mtvec, t0

        li      t0, MAX_HARTS
        bgeu    tp, t0, sleep
        li      t0, STACK_BYTES
        addi    t1, tp, 1
        mul     t1, t1, t0
        la      sp, stacks
        add     sp, sp, t1
        li      t0, TRAP_STACK_BYTES
        addi    t1, tp, 1
        mul     t1, t1, t0
        la      t0, trap_stacks
        add     t0, t0, t1
        csrw    mscratch, t0                    # trap_entry_m swaps it with sp

        la      s0, gate
        bnez    tp, wait

        la      t0, bss_start
        la      t1, bss_end
1:      bgeu    t0, t1, 2f
        sd      zero, 0(t0)
        addi    t0, t0, 8
        j       1b
2:      mv      a0, a1
        call    machine_read
        li      t0, 1
        fence   rw, w                           # release: pairs with the fence below; forbids a hart in main with a dirty .bss
        sw      t0, 0(s0)
        j       enter

wait:   lw      t0, 0(s0)
        beqz    t0, wait
        fence   r, rw                           # acquire

enter:  la      t0, machine
        ld      t0, 0(t0)                       # machine.harts
        bgeu    tp, t0, sleep
        mv      a0, tp
        call    guest
        # hart 0 never returns: it says PASS or FAIL
sleep:  wfi
        j       sleep

        .section .data
        .balign 8
gate:   .dword  0

        .section .stacks, "aw", @nobits
        .balign 4096
stacks: .skip   MAX_HARTS * STACK_BYTES
trap_stacks:
        .skip   MAX_HARTS * TRAP_STACK_BYTES
