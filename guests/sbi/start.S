# Entry in S-mode from the SBI: a0 = hart id, a1 = device tree for the first hart, the opaque word for those it starts.
# The first hart may be any; the others come through hart_start, so nobody waits for .bss here.

#include "layout.h"

        .macro  own_stacks                      # sp and sscratch of hart a0; tp = a0
        mv      tp, a0
        .option push
        .option norelax
        la      gp, __global_pointer$
        .option pop
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
        csrw    sscratch, t0
        la      t0, trap_entry_s
        csrw    stvec, t0
        .endm

        .section .text.start, "ax"
        .globl  _start
_start:
        li      t0, MAX_HARTS
        bgeu    a0, t0, sleep                   # no stack for it
        own_stacks
        la      t0, bss_start
        la      t1, bss_end
1:      bgeu    t0, t1, 2f
        sd      zero, 0(t0)
        addi    t0, t0, 8
        j       1b
2:      mv      a0, a1
        call    machine_read
        mv      a0, tp
        call    guest
sleep:  wfi
        j       sleep

        .text
        .globl  second_start
second_start:
        own_stacks
        call    second                          # a0, a1 as they came
        j       sleep

        .section .stacks, "aw", @nobits
        .balign 4096
stacks: .skip   MAX_HARTS * STACK_BYTES
trap_stacks:
        .skip   MAX_HARTS * TRAP_STACK_BYTES
