# Fields that keep only legal values, and mstatus bits that take powers from S-mode.

#include "harness.h"

        .macro  illegal_in mode, instruction:vararg
        test
        la      s10, 1f
        enter   \mode
        \instruction
        jal     ra, did_not_trap
1:      expect_trap CAUSE_ILLEGAL
        .endm

        .macro  legal_in_s instruction:vararg
        test
        enter   s
        \instruction
        leave
        expect_trap CAUSE_ECALL_S
        .endm

        .macro  holds name, bits                        # every one of `bits` can be set and cleared
        test
        csrr    a4, \name
        li      a2, \bits
        csrs    \name, a2
        csrr    a3, \name
        expect_bits a3, \bits, \bits
        csrc    \name, a2
        csrr    a3, \name
        expect_bits a3, \bits, 0
        csrw    \name, a4
        .endm

        tests   privilege
        csrw    medeleg, x0
        csrw    mideleg, x0

        # TVM, TW, TSR.
        legal_in_s csrr a2, satp
        legal_in_s sfence.vma
        li      a2, MSTATUS_TVM
        csrs    mstatus, a2
        illegal_in s, csrr a2, satp
        illegal_in s, csrw satp, x0
        illegal_in s, sfence.vma
        illegal_in s, sfence.vma a2, x0
        csrr    a3, satp                                # M-mode is not concerned
        sfence.vma
        li      a2, MSTATUS_TVM
        csrc    mstatus, a2
        li      a2, MSTATUS_TSR
        csrs    mstatus, a2
        illegal_in s, sret
        csrc    mstatus, a2
        li      a2, MSTATUS_TSR
        csrc    mstatus, a2
        li      a2, MSTATUS_TW
        csrs    mstatus, a2
        illegal_in s, wfi                               # nothing is pending: the bounded wait must end in a trap
        illegal_in u, wfi
        csrw    mie, x0
        li      a2, MSTATUS_TW
        csrc    mstatus, a2

        # mstatus.
        holds   mstatus, MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_MPIE | MSTATUS_SPP | MSTATUS_SUM | MSTATUS_MXR
        holds   mstatus, MSTATUS_MPRV | MSTATUS_TVM | MSTATUS_TW | MSTATUS_TSR
        test                                            # MPP: U, S, M. (2 is reserved, yet QEMU 7.2 keeps it.)
        li      a2, MSTATUS_MPP
        csrc    mstatus, a2
        csrr    a3, mstatus
        expect_bits a3, MSTATUS_MPP, 0
        li      a2, MSTATUS_MPP_S
        csrs    mstatus, a2
        csrr    a3, mstatus
        expect_bits a3, MSTATUS_MPP, MSTATUS_MPP_S
        test                                            # UXL and SXL: 64 bits
        csrr    a3, mstatus
        srli    a3, a3, 32
        andi    a3, a3, 15
        expect  a3, 10

        # sstatus shows and changes the supervisor's part of mstatus only.
        test
        li      a2, MSTATUS_SUM | MSTATUS_MXR | MSTATUS_SPP
        csrs    mstatus, a2
        csrr    a3, sstatus
        expect_bits a3, MSTATUS_SUM | MSTATUS_MXR | MSTATUS_SPP, MSTATUS_SUM | MSTATUS_MXR | MSTATUS_SPP
        csrc    sstatus, a2
        csrr    a3, mstatus
        expect_bits a3, MSTATUS_SUM | MSTATUS_MXR | MSTATUS_SPP, 0
        li      a2, MSTATUS_MPP | MSTATUS_MPRV | MSTATUS_TVM | MSTATUS_TW | MSTATUS_TSR | MSTATUS_MPIE
        csrc    mstatus, a2
        csrs    sstatus, a2
        csrr    a3, mstatus
        expect_bits a3, MSTATUS_MPP | MSTATUS_MPRV | MSTATUS_TVM | MSTATUS_TW | MSTATUS_TSR | MSTATUS_MPIE, 0
        csrs    mstatus, a2
        csrr    a3, sstatus
        expect_bits a3, MSTATUS_MPP | MSTATUS_MPRV | MSTATUS_TVM | MSTATUS_TW | MSTATUS_TSR | MSTATUS_MPIE, 0
        csrc    mstatus, a2

        # Leaving M-mode clears MPRV. Staying in it does not.
        test
        li      a2, MSTATUS_MPRV
        csrs    mstatus, a2
        enter   u
        leave
        csrr    a3, mstatus
        li      a2, MSTATUS_MPRV
        csrc    mstatus, a2
        and     a3, a3, a2
        expect_either a3, 0, MSTATUS_MPRV               # privileged 1.11 and QEMU 7.2 leave it

        # satp: Bare and Sv39 hold; a mode that is not there leaves all of satp as it was. Sv48, Sv57 may be there.
        test
        li      a2, 8 << 60 | 0x12345
        csrw    satp, a2
        csrr    a3, satp
        expect_same a3, a2
        li      a4, 2 << 60 | 0x54321                   # reserved
        csrw    satp, a4
        csrr    a3, satp
        expect_same a3, a2
        li      a4, 9 << 60 | 0x54321
        csrw    satp, a4
        csrr    a3, satp
        expect_either a3, 8 << 60 | 0x12345, 9 << 60 | 0x54321
        li      a4, 8 << 60 | 0xffff << 44              # ASID: some low bits of 16
        csrw    satp, a4
        csrr    a3, satp
        slli    a3, a3, 4
        srli    a3, a3, 48
        addi    a2, a3, 1
        and     a3, a3, a2
        expect  a3, 0
        csrw    satp, x0
        csrr    a3, satp
        expect  a3, 0

        # PMP registers exist in number, whatever they hold.
        test
        .irp    name, pmpcfg2, pmpaddr1, pmpaddr7, pmpaddr15
        csrr    a4, \name
        csrw    \name, a4
        .endr
        csrr    a3, pmpcfg0
        csrr    a3, pmpaddr0

        # misa: 0, or RV64 with at least I, M, A, C, S, U; writing changes nothing that matters here.
        test
        csrr    a2, misa
        beqz    a2, 1f
        srli    a3, a2, 62
        expect  a3, 2
        expect_bits a2, 0x141105, 0x141105
1:      csrw    misa, a2
        csrr    a3, misa
        expect_same a3, a2
        csrr    a2, mhartid
        expect  a2, 0
        csrr    a2, mvendorid
        csrr    a2, marchid
        csrr    a2, mimpid

        # stvec keeps a legal mode as mtvec does.
        test
        la      a2, trap_s
        ori     a3, a2, 1
        csrw    stvec, a3
        csrr    a4, stvec
        expect_same a4, a3
        ori     a3, a2, 3
        csrw    stvec, a3
        csrr    a4, stvec
        andi    a4, a4, 2
        expect  a4, 0
        csrw    stvec, a2
        done
