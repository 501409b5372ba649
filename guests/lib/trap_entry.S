# Save all registers on the trap stack, call trap_m or trap_s, restore, return. One text for both modes.
# tp and gp are the kernel's own in every guest of ours: nobody changes them.

        .macro  each_register op
        .irp    n, 1,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        \op     x\n, 8*\n(sp)
        .endr
        .endm

        .macro  trap_entry mode, epc, cause, tval, status, scratch
        .globl  trap_entry_\mode
        .balign 4
trap_entry_\mode:
        csrrw   sp, \scratch, sp
        addi    sp, sp, -288
        each_register sd
        csrr    t0, \scratch                    # the sp of the interrupted code
        sd      t0, 8*2(sp)
        csrr    t0, \epc
        sd      t0, 256(sp)
        csrr    t0, \cause
        sd      t0, 264(sp)
        csrr    t0, \tval
        sd      t0, 272(sp)
        csrr    t0, \status
        sd      t0, 280(sp)
        mv      a0, sp
        call    trap_\mode
        ld      t0, 256(sp)
        csrw    \epc, t0
        ld      t0, 280(sp)
        csrw    \status, t0
        ld      t0, 8*2(sp)
        csrw    \scratch, t0
        each_register ld
        addi    sp, sp, 288
        csrrw   sp, \scratch, sp
        \mode\()ret
        .endm

        .text
        trap_entry m, mepc, mcause, mtval, mstatus, mscratch
        trap_entry s, sepc, scause, stval, sstatus, sscratch
