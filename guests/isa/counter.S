# Zicntr: counters that only grow, time that is mtime, and the gates that S and U pass through.

#include "harness.h"

        .macro  grows name                              # never back, and forward within a bounded wait
        test
        li      a5, 1000000
        csrr    a2, \name
        mv      a4, a2
1:      csrr    a3, \name
        sltu    a6, a3, a4
        expect  a6, 0
        mv      a4, a3
        addi    a5, a5, -1
        beqz    a5, 2f
        beq     a3, a2, 1b
2:      sltu    a6, a2, a3
        expect  a6, 1
        .endm

        # Read a counter in `mode` with the gates as given: 1 open, 0 closed (must trap as illegal).
        .macro  gate mode, machine, supervisor, open, name
        test
        li      t0, \machine
        csrw    mcounteren, t0
        li      t0, \supervisor
        csrw    scounteren, t0
        la      s10, 1f
        enter   \mode
        csrr    a2, \name
        .if     \open
        leave
        .else
        jal     ra, did_not_trap
        .endif
1:      last_trap CAUSE, a2
        .if     \open
        .ifc    \mode, s
        expect  a2, CAUSE_ECALL_S
        .else
        expect  a2, CAUSE_ECALL_U
        .endif
        .else
        expect  a2, CAUSE_ILLEGAL
        .endif
        .endm

        tests   counter
        grows   cycle
        grows   time
        grows   instret
        grows   mcycle
        grows   minstret

        test                                            # time is the CLINT's mtime
        li      a6, MTIME
        ld      a2, 0(a6)
        csrr    a3, time
        ld      a4, 0(a6)
        sltu    a5, a3, a2
        expect  a5, 0
        sltu    a5, a4, a3
        expect  a5, 0

        test                                            # mcounteren and scounteren hold CY, TM, IR
        li      a2, 7
        csrw    mcounteren, a2
        csrr    a3, mcounteren
        expect_bits a3, 7, 7
        csrw    scounteren, a2
        csrr    a3, scounteren
        expect_bits a3, 7, 7
        csrw    mcounteren, x0
        csrr    a3, mcounteren
        expect_bits a3, 7, 0

        .irp    one, 0, 1, 2
        .if     \one == 0
        .set    counter_csr, 0xc00                      # cycle
        .elseif \one == 1
        .set    counter_csr, 0xc01                      # time
        .else
        .set    counter_csr, 0xc02                      # instret
        .endif
        gate    s, 0, 7, 0, counter_csr
        gate    s, 1 << \one, 0, 1, counter_csr
        gate    s, 7 ^ 1 << \one, 7, 0, counter_csr
        gate    u, 0, 7, 0, counter_csr
        gate    u, 7, 0, 0, counter_csr
        gate    u, 7, 7 ^ 1 << \one, 0, counter_csr
        gate    u, 1 << \one, 1 << \one, 1, counter_csr
        .endr

        test                                            # the machine's counters take writes; what they then hold is their own affair
        li      a2, 0x1000000000
        csrw    minstret, a2
        csrr    a3, minstret
        csrw    mcycle, x0
        csrr    a3, mcycle

        test                                            # mcountinhibit stops instret, if it is there at all
        la      s10, 1f
        li      a2, 5
        csrw    mcountinhibit, a2
        csrr    a4, mcountinhibit
        csrr    a2, minstret
        nop
        csrr    a3, minstret
        csrw    mcountinhibit, x0
        andi    a4, a4, 4
        beqz    a4, 1f
        expect_same a3, a2
1:      li      s10, 0
        done
