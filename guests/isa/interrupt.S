# Interrupts in M-mode: software and timer from the CLINT, the supervisor's bits, order, vectors, and WFI.

#include "harness.h"

#define SSI     (1 << 1)
#define MSI     (1 << 3)
#define STI     (1 << 5)
#define MTI     (1 << 7)
#define SEI     (1 << 9)

        .macro  msip value
        li      t0, CLINT
        li      t1, \value
        sw      t1, 0(t0)
        lw      t1, 0(t0)                               # the store has arrived
        .endm

        .macro  timer ticks_from_now                    # negative: pending at once
        li      t0, MTIME
        ld      t1, 0(t0)
        li      t0, \ticks_from_now
        add     t1, t1, t0
        li      t0, MTIMECMP
        sd      t1, 0(t0)
        .endm

        .macro  no_timer
        li      t0, MTIMECMP
        li      t1, -1
        sd      t1, 0(t0)
        .endm

        .macro  await bits, wanted                      # until mip & bits == wanted, within a bounded wait
        li      t3, \bits
        li      t4, \wanted
        li      t5, 10000000
88:     csrr    t2, mip
        and     t2, t2, t3
        addi    t5, t5, -1
        beqz    t5, 89f
        bne     t2, t4, 88b
89:     expect  t2, \wanted
        .endm

        # Everything asked for is pending; enabling `enable` in M-mode must deliver `cause` and nothing else (or `other`).
        .macro  delivers cause, enable, other=0
        test
        li      t0, \enable
        csrw    mie, t0
        la      s10, 1f
        csrsi   mstatus, MSTATUS_MIE
        .rept   16
        nop
        .endr
        li      t1, 100000000
2:      addi    t1, t1, -1
        bnez    t1, 2b
        jal     ra, did_not_trap
1:      csrci   mstatus, MSTATUS_MIE
        last_trap CAUSE, a2
        .if     \other
        expect_either a2, INTERRUPT | \cause, INTERRUPT | \other
        .else
        expect  a2, INTERRUPT | \cause
        .endif
        expect_tval 0
        last_trap STATUS, a2
        expect_bits a2, MSTATUS_MIE | MSTATUS_MPIE, MSTATUS_MPIE
        .endm

        tests   interrupt
        csrw    mideleg, x0
        csrw    mie, x0
        csrci   mstatus, MSTATUS_MIE
        msip    0
        no_timer
        await   MSI | MTI, 0

        # Nothing happens while MIE or the bit in mie is clear.
        test
        msip    1
        await   MSI, MSI
        li      a2, MSI
        csrw    mie, a2
        nop
        nop
        csrw    mie, x0
        csrsi   mstatus, MSTATUS_MIE
        nop
        nop
        csrci   mstatus, MSTATUS_MIE

        delivers 3, MSI
        test
        csrr    a2, mip
        expect_bits a2, MSI, MSI                        # the handler did not clear it
        csrw    mip, x0                                 # nor can this: MSIP is the CLINT's
        csrr    a2, mip
        expect_bits a2, MSI, MSI
        msip    0
        await   MSI, 0

        timer   -1
        await   MTI, MTI
        delivers 7, MTI
        test                                            # MTIP goes when mtimecmp is raised
        no_timer
        await   MTI, 0
        timer   1000
        delivers 7, MTI                                 # 100 microseconds from now
        no_timer
        await   MTI, 0

        # The supervisor's bits are M-mode's to set; undelegated they come to M-mode.
        .irp    bit, 1, 5, 9
        li      a2, 1 << \bit
        csrs    mip, a2
        await   1 << \bit, 1 << \bit
        delivers \bit, 1 << \bit
        li      a2, 1 << \bit
        csrc    mip, a2
        await   1 << \bit, 0
        .endr

        # Order: MSI, MTI, SEI, SSI, STI. QEMU 7.2 takes the lowest number.
        msip    1
        timer   -1
        li      a2, SSI | STI | SEI
        csrs    mip, a2
        await   MSI | MTI | SSI | STI | SEI, MSI | MTI | SSI | STI | SEI
        delivers 3, MSI | MTI | SSI | STI | SEI, 1
        delivers 7, MTI | SSI | STI | SEI, 1
        delivers 9, SSI | STI | SEI, 1
        delivers 1, SSI | STI
        delivers 5, STI
        li      a2, SSI | STI | SEI
        csrc    mip, a2
        no_timer
        msip    0
        await   MSI | MTI | SSI | STI | SEI, 0

        # In S and U, M-mode's interrupts do not ask MIE.
        .macro  below mode
        test
        csrci   mstatus, MSTATUS_MIE
        li      a2, MSTATUS_MPIE
        csrc    mstatus, a2
        msip    1
        await   MSI, MSI
        li      a2, MSI
        csrw    mie, a2
        la      s10, 1f
        enter   \mode
        .rept   16
        nop
        .endr
2:      j       2b
1:      expect_trap INTERRUPT | 3
        last_trap STATUS, a2
        .ifc    \mode, s
        expect_bits a2, MSTATUS_MPP, MSTATUS_MPP_S
        .else
        expect_bits a2, MSTATUS_MPP, 0
        .endif
        msip    0
        await   MSI, 0
        .endm
        below   s
        below   u

        # Vectored: cause n enters at base + 4 n.
        test
        la      a2, vectors + 1
        csrw    mtvec, a2
        msip    1
        await   MSI, MSI
        li      a3, 0
        delivers 3, MSI
        expect  a3, 3
        msip    0
        await   MSI, 0
        timer   -1
        await   MTI, MTI
        delivers 7, MTI
        expect  a3, 7
        no_timer
        await   MTI, 0
        li      a2, SSI
        csrs    mip, a2
        delivers 1, SSI
        expect  a3, 1
        li      a2, SSI
        csrc    mip, a2
        li      a3, 0
        la      s10, 1f
        ecall
1:      expect  a3, 99                                  # an exception enters at the base
        la      a2, trap
        csrw    mtvec, a2

        # WFI goes on when an enabled interrupt is pending, though MIE is clear; no trap is taken.
        test
        csrci   mstatus, MSTATUS_MIE
        li      a2, MTI
        csrw    mie, a2
        timer   20000
        csrr    a4, time
1:      wfi
        csrr    a2, mip
        andi    a2, a2, MTI
        beqz    a2, 1b                                  # WFI may also go on for no reason
        csrr    a5, time
        sub     a5, a5, a4
        sltiu   a5, a5, 1000
        expect  a5, 0                                   # and did not say so early
        wfi                                             # already pending: at once
        no_timer
        await   MTI, 0
        msip    1
        await   MSI, MSI
        li      a2, MSI
        csrw    mie, a2
        wfi
        test                                            # a WFI that a taken interrupt ends: mepc is behind it
        msip    0
        await   MSI, 0
        li      a2, MTI
        csrw    mie, a2
        timer   20000
        la      s10, 1f
        csrsi   mstatus, MSTATUS_MIE
2:      wfi
3:      j       2b
1:      csrci   mstatus, MSTATUS_MIE
        last_trap EPC, a2
        la      a3, 3b
        la      a4, 2b
        beq     a2, a4, 4f                              # it woke for no reason and was on its way back
        expect_same a2, a3
4:      no_timer

        # mie holds the bits of the interrupts there are; mip's M bits are not for CSR writes.
        test
        li      a2, SSI | MSI | STI | MTI | SEI | 1 << 11
        csrw    mie, a2
        csrr    a3, mie
        expect_bits a3, SSI | MSI | STI | MTI | SEI | 1 << 11, SSI | MSI | STI | MTI | SEI | 1 << 11
        csrw    mie, x0
        csrr    a3, mie
        expect  a3, 0
        done

        .balign 256
vectors:
        j       v_base
        .irp    n, 1,2,3,4,5,6,7,8,9,10,11
        j       v\n
        .endr
        .irp    n, 1,2,3,4,5,6,7,8,9,10,11
v\n:    li      a3, \n
        j       trap
        .endr
v_base: li      a3, 99
        j       trap
