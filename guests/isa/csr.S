# Zicsr: six instructions, when they read and when they write, who may, and what does not exist.

#include "harness.h"

        tests   csr
        # The six on a register that holds all bits.
        test
        li      a2, 0x123456789abcdef0
        csrw    mscratch, zero
        csrrw   a3, mscratch, a2
        expect  a3, 0
        csrrw   a2, mscratch, a2                        # rd = rs1
        expect  a2, 0x123456789abcdef0
        csrr    a3, mscratch
        expect_same a3, a2
        test
        li      a2, 0xff
        csrrs   a3, mscratch, a2
        expect  a3, 0x123456789abcdef0
        csrr    a3, mscratch
        expect  a3, 0x123456789abcdeff
        csrrc   a3, mscratch, a2
        expect  a3, 0x123456789abcdeff
        csrr    a3, mscratch
        expect  a3, 0x123456789abcde00
        test
        csrrwi  a3, mscratch, 31
        expect  a3, 0x123456789abcde00
        csrrsi  a3, mscratch, 0
        expect  a3, 31
        csrrsi  x0, mscratch, 0
        csrrci  a3, mscratch, 21
        expect  a3, 31
        csrrsi  a3, mscratch, 4
        expect  a3, 10
        csrrwi  x0, mscratch, 0
        csrr    a3, mscratch
        expect  a3, 0
        test                                            # rd = x0 still writes
        li      a2, 77
        csrrw   x0, mscratch, a2
        csrrs   a3, mscratch, x0
        expect  a3, 77
        csrrc   a3, mscratch, x0
        expect  a3, 77
        li      a2, 5
        csrrs   a2, mscratch, a2
        expect  a2, 77
        csrr    a3, mscratch
        expect  a3, 77
        la      t0, trapped
        csrw    mscratch, t0                            # the trap handler's again

        # Read-only registers: reading by set/clear of nothing is fine, any write traps, also one that changes nothing.
        test
        csrrs   a2, mhartid, x0
        expect  a2, 0
        csrrc   a2, mhartid, x0
        csrrsi  a2, mhartid, 0
        csrrci  a2, mhartid, 0
        expect  a2, 0
        csrr    a2, mvendorid
        csrr    a2, marchid
        csrr    a2, mimpid
        li      a2, 0
        traps   CAUSE_ILLEGAL, csrrw x0, mhartid, x0
        traps   CAUSE_ILLEGAL, csrrw a3, mhartid, a2
        li      a2, 1
        traps   CAUSE_ILLEGAL, csrrs a3, mhartid, a2
        li      a2, 1
        traps   CAUSE_ILLEGAL, csrrc a3, mhartid, a2
        test                                            # rs1 is not x0: a write, though of no bit. QEMU looks at the bits
        li      a2, 0
        la      s10, 1f
        csrrs   a3, mhartid, a2
        j       2f
1:      expect_trap CAUSE_ILLEGAL
2:      li      s10, 0
        traps   CAUSE_ILLEGAL, csrrwi a3, mhartid, 0
        traps   CAUSE_ILLEGAL, csrrsi a3, mhartid, 1
        traps   CAUSE_ILLEGAL, csrrci a3, mhartid, 1
        traps   CAUSE_ILLEGAL, csrw cycle, x0
        traps   CAUSE_ILLEGAL, csrw time, x0
        traps   CAUSE_ILLEGAL, csrw instret, x0
        traps   CAUSE_ILLEGAL, csrw mvendorid, x0
        traps   CAUSE_ILLEGAL, csrw marchid, x0
        traps   CAUSE_ILLEGAL, csrw mimpid, x0

        # A trapped CSR instruction leaves rd alone.
        test
        li      a3, 99
        la      s10, 1f
        csrrw   a3, mhartid, a2
        jal     ra, did_not_trap
1:      expect  a3, 99

        # Registers that nobody defines.
        traps   CAUSE_ILLEGAL, csrr a2, 0x8ff
        traps   CAUSE_ILLEGAL, csrw 0x8ff, a2
        traps   CAUSE_ILLEGAL, csrr a2, 0x5ff
        traps   CAUSE_ILLEGAL, csrr a2, 0xfff
        traps   CAUSE_ILLEGAL, csrr a2, 0x1b0
        traps   CAUSE_ILLEGAL, csrr a2, 0x7ff

        # Privilege: bits 9:8 of the number say who may.
        .macro  denied mode, instruction:vararg
        test
        enter   \mode
        la      s10, 1f
2:      \instruction
        jal     ra, did_not_trap
1:      expect_trap CAUSE_ILLEGAL
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
        .irp    name, mstatus, misa, medeleg, mideleg, mie, mtvec, mcounteren, mscratch, mepc, mcause, mtval, mip, pmpcfg0, pmpaddr0, mhartid
        denied  s, csrr a2, \name
        denied  u, csrr a2, \name
        .endr
        .irp    name, sstatus, sie, stvec, scounteren, sscratch, sepc, scause, stval, sip, satp
        denied  u, csrr a2, \name
        .endr
        denied  s, mret
        denied  u, mret
        denied  u, sret
        denied  u, sfence.vma

        # The supervisor's own, written and read back in S-mode.
        test
        enter   s
        li      a2, 0x123456789abcdef0
        csrrw   a4, sscratch, a2
        csrr    a3, sscratch
        csrw    sscratch, a4
        expect_same a3, a2
        csrw    scause, 5
        csrr    a3, scause
        expect  a3, 5
        li      a2, 0x80000001
        csrw    sepc, a2                                # IALIGN is 16: only bit 0 is nailed to zero
        csrr    a3, sepc
        expect_either a3, 0x80000000, 0x80000001        # QEMU 7.2 keeps it
        li      a2, 0x80000002
        csrw    sepc, a2
        csrr    a3, sepc
        expect  a3, 0x80000002
        li      a2, 0x12345678
        csrw    stval, a2
        csrr    a3, stval
        expect_same a3, a2
        leave
        test
        li      a2, 0x80000003
        csrw    mepc, a2
        csrr    a3, mepc
        expect_either a3, 0x80000002, 0x80000003
        csrw    mcause, 7
        csrr    a3, mcause
        expect  a3, 7
        li      a2, 0x1234567
        csrw    mtval, a2
        csrr    a3, mtval
        expect_same a3, a2

        illegal 0x30004073                              # SYSTEM, funct3 = 4: not hypervisor's loads here
        done
