# Delegation: exceptions and interrupts that S-mode takes itself, SRET, stvec, sip and sie.

#include "harness.h"

#define SSI     (1 << 1)
#define STI     (1 << 5)
#define SEI     (1 << 9)

        # In `mode`, the instruction must trap to S-mode: trap_s notes it and calls M-mode.
        .macro  delegated mode, cause, instruction:vararg
        test
        la      s10, 1f
        enter   \mode
2:      \instruction
        jal     ra, did_not_trap
1:      expect_trap CAUSE_ECALL_S                       # trap_s's call
        last_trap_s CAUSE, a2
        expect  a2, \cause
        last_trap_s EPC, a2
        la      a3, 2b
        expect_same a2, a3
        last_trap_s STATUS, a2
        .ifc    \mode, s
        expect_bits a2, MSTATUS_SPP, MSTATUS_SPP
        .else
        expect_bits a2, MSTATUS_SPP, 0
        .endif
        .endm

        .macro  not_delegated mode, cause, instruction:vararg
        test
        la      s10, 1f
        enter   \mode
        \instruction
        jal     ra, did_not_trap
1:      expect_trap \cause
        .endm

        tests   delegate
        csrw    mie, x0
        csrw    mideleg, x0

        # medeleg holds the bits of exceptions that S can take. (ECALL from M should not be one; QEMU keeps the bit.)
        test
        li      a2, -1
        csrw    medeleg, a2
        csrr    a3, medeleg
        expect_bits a3, 0xb1ac, 0xb1ac                  # 2 3 5 7 8 12 13 15

        li      a2, 1 << CAUSE_ILLEGAL | 1 << CAUSE_BREAKPOINT | 1 << CAUSE_LOAD_FAULT | 1 << CAUSE_STORE_FAULT | 1 << CAUSE_FETCH_FAULT
        csrw    medeleg, a2
        .irp    mode, s, u
        delegated \mode, CAUSE_ILLEGAL, .4byte 0xffffffff
        delegated \mode, CAUSE_BREAKPOINT, ebreak
        li      a4, UNMAPPED
        delegated \mode, CAUSE_LOAD_FAULT, lw a5, 0(a4)
        last_trap_s TVAL, a2
        expect  a2, UNMAPPED
        delegated \mode, CAUSE_STORE_FAULT, sw a5, 8(a4)
        last_trap_s TVAL, a2
        expect  a2, UNMAPPED + 8
        .endr
        not_delegated s, CAUSE_ECALL_S, ecall
        not_delegated u, CAUSE_ECALL_U, ecall
        li      a2, 1 << CAUSE_ECALL_U
        csrw    medeleg, a2
        delegated u, CAUSE_ECALL_U, ecall
        not_delegated u, CAUSE_ILLEGAL, .4byte 0xffffffff
        li      a2, -1
        csrw    medeleg, a2
        traps   CAUSE_ILLEGAL, .4byte 0xffffffff        # from M-mode: never delegated
        li      a2, 1 << CAUSE_ILLEGAL | 1 << CAUSE_BREAKPOINT
        csrw    medeleg, a2

        # A trap to S: SPIE = SIE, SIE = 0. SRET: SIE = SPIE, SPIE = 1, SPP = U.
        .macro  stack_of_sstatus sie, spie
        test
        li      a2, MSTATUS_SIE | MSTATUS_SPIE
        csrc    mstatus, a2
        li      a2, \sie
        csrs    mstatus, a2
        la      s10, 1f
        enter   s
        ebreak
1:      last_trap_s STATUS, a2
        expect_bits a2, MSTATUS_SIE | MSTATUS_SPIE, \spie
        test
        enter   s
        la      a3, 2f
        csrw    sepc, a3
        li      a3, MSTATUS_SPP
        csrs    sstatus, a3
        sret
        j       .
2:      csrr    a4, sstatus                             # S-mode still
        leave
        expect_bits a4, MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP, \sie | MSTATUS_SPIE
        .endm
        stack_of_sstatus 0, 0
        stack_of_sstatus MSTATUS_SIE, MSTATUS_SPIE
        csrci   mstatus, MSTATUS_SIE
        test                                            # SPP = U: SRET goes to U-mode
        enter   s
        la      a3, 2f
        csrw    sepc, a3
        li      a3, MSTATUS_SPP
        csrc    sstatus, a3
        sret
        j       .
2:      leave
        expect_trap CAUSE_ECALL_U

        # mideleg: the supervisor's three; M-mode's own are never delegated.
        test
        li      a2, SSI | STI | SEI | 1 << 3 | 1 << 7 | 1 << 11
        csrw    mideleg, a2
        csrr    a3, mideleg
        expect_bits a3, SSI | STI | SEI | 1 << 3 | 1 << 7 | 1 << 11, SSI | STI | SEI

        # A delegated interrupt waits while in M-mode, and while in S-mode with SIE clear.
        .irp    bit, 1, 5, 9
        test
        li      a2, 1 << \bit
        csrs    mip, a2
        csrs    mie, a2
        csrsi   mstatus, MSTATUS_MIE
        nop
        nop
        csrci   mstatus, MSTATUS_MIE
        csrci   mstatus, MSTATUS_SIE
        enter   s
        nop
        csrr    a4, sip
        csrr    a5, sie
        leave
        expect  a4, 1 << \bit
        expect  a5, 1 << \bit
        test                                            # SIE set: taken in S-mode
        la      s10, 1f
        enter   s
        csrsi   sstatus, MSTATUS_SIE
2:      j       2b
1:      last_trap_s CAUSE, a2
        expect  a2, INTERRUPT | \bit
        csrr    a2, mie
        expect  a2, 0                                   # trap_s cleared sie, which is the same bit
        test                                            # U-mode: taken, SIE or not
        csrci   mstatus, MSTATUS_SIE
        li      a2, 1 << \bit
        csrs    mie, a2
        la      s10, 1f
        enter   u
2:      j       2b
1:      last_trap_s CAUSE, a2
        expect  a2, INTERRUPT | \bit
        last_trap_s STATUS, a2
        expect_bits a2, MSTATUS_SPP, 0
        li      a2, 1 << \bit
        csrc    mip, a2
        csrw    mie, x0
        .endr

        # From S: SSIP can be set and cleared in sip, STIP and SEIP cannot.
        test
        enter   s
        csrsi   sip, SSI
        csrr    a4, sip
        csrci   sip, SSI
        csrr    a5, sip
        li      a2, STI | SEI
        csrs    sip, a2
        csrr    a3, sip
        leave
        expect  a4, SSI
        expect  a5, 0
        expect  a3, 0
        test                                            # what is not delegated does not show in sip and sie
        csrw    mideleg, x0
        li      a2, SSI | STI
        csrs    mip, a2
        enter   s
        csrr    a4, sip
        leave
        li      a2, SSI | STI
        csrc    mip, a2
        csrs    mie, a2                                 # one after the other: both would be an interrupt to M-mode
        enter   s
        csrr    a5, sie
        leave
        csrw    mie, x0
        expect  a4, 0
        expect  a5, 0

        # Order among the supervisor's: external, software, timer (QEMU 7.2: lowest number first); and stvec's vectors.
        li      a2, SSI | STI | SEI
        csrw    mideleg, a2
        la      a2, vectors + 1
        csrw    stvec, a2
        li      a2, SSI | STI | SEI
        csrs    mip, a2
        .irp    bit, 9, 1, 5
        test
        li      a2, SSI | STI | SEI
        csrw    mie, a2
        li      a6, 0
        la      s10, 1f
        enter   s
        csrsi   sstatus, MSTATUS_SIE
2:      j       2b
1:      last_trap_s CAUSE, a2
        expect_either a2, INTERRUPT | \bit, INTERRUPT | 1
        expect_either a6, \bit, 1
        csrci   mstatus, MSTATUS_SIE
        li      a2, 1 << \bit
        csrc    mip, a2
        .endr
        delegated s, CAUSE_BREAKPOINT, ebreak
        expect  a6, 99                                  # exceptions enter at the base

        # WFI in S-mode wakes for an enabled interrupt with SIE clear.
        test
        li      a2, SSI
        csrs    mip, a2
        csrs    mie, a2
        enter   s
        wfi
        leave
        expect_trap CAUSE_ECALL_S
        done

        .balign 256
vectors:
        j       v_base
        .irp    n, 1,2,3,4,5,6,7,8,9
        j       v\n
        .endr
        .irp    n, 1,2,3,4,5,6,7,8,9
v\n:    li      a6, \n
        j       trap_s
        .endr
v_base: li      a6, 99
        j       trap_s
