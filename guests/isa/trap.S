# Exceptions taken to M-mode: cause, mepc, mtval, and what a trap and MRET do to mstatus.

#include "harness.h"

        .macro  from mode, cause, instruction:vararg    # the same from S or U
        test
        enter   \mode
        la      s10, 1f
2:      \instruction
        jal     ra, did_not_trap
1:      expect_trap \cause
        expect_epc 2b
        last_trap STATUS, a2
        li      a3, MSTATUS_MPP
        and     a2, a2, a3
        .ifc    \mode, s
        expect  a2, MSTATUS_MPP_S
        .else
        expect  a2, 0
        .endif
        .endm

        tests   trap
        csrw    medeleg, x0
        csrw    mideleg, x0
        li      a2, MSTATUS_FS
        csrc    mstatus, a2

        illegal 0x00000000
        illegal 0xffffffff
        illegal 0x0000000b                              # custom-0
        illegal 0x0000005b                              # custom-2
        illegal 0x00000053                              # fadd.s with floating point off
        illegal 0x00002007                              # flw
        illegal 0x00003027                              # fsd
        illegal 0x10000073                              # SYSTEM, funct12 0x100
        illegal 0x30200173                              # mret with rd = x2
        from    s, CAUSE_ILLEGAL, .4byte 0xffffffff
        from    u, CAUSE_ILLEGAL, .4byte 0xffffffff

        traps   CAUSE_BREAKPOINT, ebreak
        last_trap TVAL, a2
        la      a3, 91b
        expect_zero_or a2, a3                           # the specification allows both
        from    s, CAUSE_BREAKPOINT, ebreak
        from    u, CAUSE_BREAKPOINT, ebreak
        traps   CAUSE_ECALL_M, ecall
        expect_tval 0
        from    s, CAUSE_ECALL_S, ecall
        expect_tval 0
        from    u, CAUSE_ECALL_U, ecall
        expect_tval 0

        # Physical addresses where nothing is.
        li      a4, UNMAPPED + 16
        .irp    op, lb, lh, lw, ld, lbu, lhu, lwu
        li      a5, 7
        traps   CAUSE_LOAD_FAULT, \op a5, -16(a4)
        expect_tval UNMAPPED
        expect  a5, 7                                   # rd is left alone
        .endr
        .irp    op, sb, sh, sw, sd
        traps   CAUSE_STORE_FAULT, \op a5, 8(a4)
        expect_tval UNMAPPED + 24
        .endr
        from    s, CAUSE_LOAD_FAULT, ld a5, 0(a4)
        expect_tval UNMAPPED + 16
        from    u, CAUSE_STORE_FAULT, sd a5, 0(a4)
        expect_tval UNMAPPED + 16
        test                                            # fetch: mepc is the target, not the jump
        la      s10, 1f
        jr      a4
        jal     ra, did_not_trap
1:      expect_trap CAUSE_FETCH_FAULT
        last_trap EPC, a2
        expect  a2, UNMAPPED + 16
        expect_tval UNMAPPED + 16
        test                                            # ... but the link register is written
        la      s10, 1f
        li      a5, 0
        jalr    a5, 0(a4)
2:      jal     ra, did_not_trap
1:      la      a2, 2b
        expect_same a5, a2

        # A trap from M-mode: MPIE = MIE, MIE = 0, MPP = M. No interrupt is enabled in mie.
        .macro  stack_of_mstatus mie, mpie
        test
        li      a2, MSTATUS_MPIE | MSTATUS_MPP
        csrc    mstatus, a2
        csrci   mstatus, MSTATUS_MIE
        li      a2, \mie
        csrs    mstatus, a2
        la      s10, 1f
        ecall
1:      csrr    a3, mstatus                             # the handler's MRET: MIE = MPIE, MPIE = 1, MPP = U
        last_trap STATUS, a2
        expect_bits a2, MSTATUS_MIE | MSTATUS_MPIE | MSTATUS_MPP, MSTATUS_MPP | \mpie
        expect_bits a3, MSTATUS_MIE | MSTATUS_MPIE | MSTATUS_MPP, MSTATUS_MPIE | \mie
        .endm
        stack_of_mstatus 0, 0
        stack_of_mstatus MSTATUS_MIE, MSTATUS_MPIE
        csrci   mstatus, MSTATUS_MIE

        # MRET goes to mepc in the mode MPP names; MPP = U afterwards.
        test
        enter   s
        la      s10, 1f
        ecall
1:      csrr    a3, mstatus
        expect_bits a3, MSTATUS_MPP, 0                  # of the handler's own MRET
        expect_trap CAUSE_ECALL_S
        test
        li      a2, MSTATUS_MPP
        csrs    mstatus, a2
        la      a2, 1f
        csrw    mepc, a2
        mret
        j       .
1:      csrr    a2, mscratch                            # still M-mode: no trap

        # mtvec: base of 4-byte alignment, mode direct or vectored; exceptions go to the base in both.
        test
        la      a2, trap
        ori     a3, a2, 1
        csrw    mtvec, a3
        csrr    a4, mtvec
        expect_same a4, a3
        la      s10, 1f
        ecall
        jal     ra, did_not_trap
1:      expect_trap CAUSE_ECALL_M
        la      a2, trap
        csrw    mtvec, a2
        ori     a3, a2, 2                               # reserved mode: whatever sticks is not reserved
        csrw    mtvec, a3
        csrr    a4, mtvec
        andi    a4, a4, 2
        expect  a4, 0
        csrw    mtvec, a2
        done
