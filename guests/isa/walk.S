# Sv39, how it is found: A and D, reserved forms, large pages, canonical addresses, crossings, memory that is not there,
# SFENCE.VMA, and turning paging on.

#include "paging.h"

        tests   walk
        paging_on
        page    0, one, ALL
        page    1, two, ALL
        li      a3, WINDOW
        la      a2, one
        li      a5, 31415
        sd      a5, 0(a2)

        # A and D: set by the hart (Svadu), or a page fault that software answers. Never neither.
        .macro  accessed flags, wanted, cause, instruction:vararg
        test
        page    0, one, \flags
        la      s10, 1f
        enter   s
        \instruction
        ecall
1:      last_trap CAUSE, a2
        expect_either a2, \cause, CAUSE_ECALL_S
        li      a4, \cause
        beq     a2, a4, 3f
        la      a4, leaf
        ld      a2, 0(a4)
        expect_bits a2, A | D, \wanted
        j       4f
3:      expect_tval WINDOW
        la      a4, leaf
        ld      a2, 0(a4)
        expect_bits a2, A | D, (\flags) & (A | D)
        page    0, one, (\flags) | \wanted
        works   s, \instruction
4:
        .endm
        accessed V | R | W, A, CAUSE_LOAD_PAGE, ld a5, 0(a3)
        accessed V | R | W | A, A | D, CAUSE_STORE_PAGE, sd a5, 0(a3)
        accessed V | R | W, A | D, CAUSE_STORE_PAGE, sd a5, 0(a3)
        accessed V | R | W | D, A | D, CAUSE_LOAD_PAGE, ld a5, 0(a3)
        accessed V | R | W, A | D, CAUSE_STORE_PAGE, amoadd.d a5, a5, (a3)
        page    0, one, V | R                           # a store that may not happen sets no D
        faults  s, CAUSE_STORE_PAGE, WINDOW, sd a5, 0(a3)
        la      a4, leaf
        ld      a2, 0(a4)
        expect_bits a2, D, 0

        # Software's two bits are ignored; bits 60 to 54 are reserved and must be 0; so must the pointer form at the last level.
        test
        page    0, one, ALL | 3 << 8 | G
        works   s, ld a5, 0(a3)
        page    0, one, ALL | 1 << 54
        faults  s, CAUSE_LOAD_PAGE, WINDOW, ld a5, 0(a3)
        page    0, one, ALL | 1 << 60
        faults  s, CAUSE_STORE_PAGE, WINDOW, sd a5, 0(a3)
        page    0, two, V
        faults  s, CAUSE_LOAD_PAGE, WINDOW, ld a5, 0(a3)

        # Large pages: 2 MiB at WINDOW + 2 MiB, on the image; a misaligned one faults; so does a misaligned gigapage.
        test
        map     middle, 1, RAM, ALL
        la      a2, one
        li      a4, RAM - (WINDOW + 0x200000)
        sub     a4, a2, a4
        li      a5, 31415
        sd      a5, 0(a2)
        works   s, ld a5, 0(a4)
        expect  a5, 31415
        map     middle, 1, RAM + 0x1000, ALL
        li      a4, WINDOW + 0x200000
        faults  s, CAUSE_LOAD_PAGE, WINDOW + 0x200008, ld a5, 8(a4)
        map     root, 3, RAM + 0x200000, ALL
        li      a4, 0xc0000000
        faults  s, CAUSE_STORE_PAGE, 0xc0000000, sd a5, 0(a4)

        # Addresses whose upper bits do not repeat bit 38; and the upper half.
        li      a4, 0x0000004000000000
        faults  s, CAUSE_LOAD_PAGE, 0x0000004000000000, ld a5, 0(a4)
        li      a4, 0x8000000080000000
        faults  s, CAUSE_STORE_PAGE, 0x8000000080000000, sd a5, 0(a4)
        li      a4, 0xffffffbfffffffff
        faults  s, CAUSE_LOAD_PAGE, 0xffffffbfffffffff, lb a5, 0(a4)
        test
        map     root, 511, RAM, ALL
        la      a4, one
        li      a5, 0xffffffffc0000000 - RAM
        add     a4, a4, a5
        works   s, ld a5, 0(a4)
        expect  a5, 31415

        # Accesses that cross from one page to another that lies elsewhere.
        page    0, two, ALL
        page    1, one, ALL
        test
        li      a4, WINDOW + 4096 - 4
        li      a5, 0x1122334455667788
        works   s, sd a5, 0(a4)
        la      a2, two + 4092
        lwu     a2, 0(a2)
        expect  a2, 0x55667788
        la      a2, one
        lwu     a2, 0(a2)
        expect  a2, 0x11223344
        works   s, ld a2, 0(a4)
        expect_same a2, a5
        page    1, one, V | R | A | D
        .macro  crossing_faults cause, instruction:vararg
        test
        la      s10, 1f
        enter   s
        \instruction
        jal     ra, did_not_trap
1:      expect_trap \cause
        last_trap TVAL, a2
        expect_either a2, WINDOW + 4096, WINDOW + 4092  # the part that faulted; some report where the access began
        .endm
        crossing_faults CAUSE_STORE_PAGE, sd a5, 0(a4)
        la      a2, one
        lwu     a2, 0(a2)
        expect  a2, 0x11223344
        page    1, one, 0
        crossing_faults CAUSE_LOAD_PAGE, ld a5, 0(a4)
        page    8, user_page, V | R | X | U | A
        test                                            # an instruction whose second half is not mapped
        page    9, one, 0
        li      a4, WINDOW + 0x8000 + 4094
        la      s10, 1f
        li      t0, MSTATUS_MPP
        csrc    mstatus, t0
        csrw    mepc, a4
        mret
1:      expect_trap CAUSE_FETCH_PAGE
        expect_tval WINDOW + 0x9000
        last_trap EPC, a2
        expect_same a2, a4

        # Physical memory that is not there, under a leaf and under a table.
        test
        map     leaf, 2, UNMAPPED, ALL
        li      a4, WINDOW + 0x2000
        faults  s, CAUSE_LOAD_FAULT, WINDOW + 0x2000, ld a5, 0(a4)
        faults  s, CAUSE_STORE_FAULT, WINDOW + 0x2008, sd a5, 8(a4)
        test
        map     middle, 2, UNMAPPED, V
        li      a4, WINDOW + 0x400000
        la      s10, 1f
        enter   s
        ld      a5, 0(a4)
1:      last_trap CAUSE, a2
        expect_either a2, CAUSE_LOAD_FAULT, CAUSE_LOAD_PAGE     # the specification says access fault; emulators differ

        # SFENCE.VMA in its four forms makes a changed PTE effective.
        .macro  remap fence:vararg
        .irp    to, one, two
        test
        la      a2, \to
        li      a4, number
        sd      a4, 64(a2)
        la      t1, \to
        srli    t1, t1, 2
        ori     t1, t1, ALL
        la      t2, leaf
        li      a4, WINDOW
        enter   s
        ld      a5, 64(a4)                              # so that the old translation may be cached
        sd      t1, 0(t2)
        \fence
        ld      a5, 64(a4)
        leave
        expect  a5, number
        .endr
        .endm
        page    0, two, ALL
        remap   sfence.vma
        remap   sfence.vma a4
        remap   sfence.vma x0, x0
        remap   sfence.vma a4, x0
        csrr    a6, satp                                # the current ASID, in a6
        slli    a6, a6, 4
        srli    a6, a6, 48
        remap   sfence.vma x0, a6
        remap   sfence.vma a4, a6

        # Turning paging on from an address that it does not map: the fetch fault lands on stvec, which it does.
        test
        map     other_root, 511, RAM, ALL
        map     other_root, 0, 0, ALL
        li      a2, 1 << CAUSE_FETCH_PAGE
        csrw    medeleg, a2
        csrw    satp, x0
        la      a2, 1f
        li      a4, 0xffffffffc0000000 - RAM
        add     a2, a2, a4
        csrw    stvec, a2
        la      a5, other_root
        srli    a5, a5, 12
        li      a6, 8 << 60
        or      a5, a5, a6
        sfence.vma
        enter   s
        la      s10, 2f
        csrw    satp, a5
3:      j       .                                       # never here: not mapped
        .balign 4
1:      csrr    a3, scause
        csrr    a4, sepc
        auipc   a6, 0
        ecall
2:      csrw    satp, x0
        la      t0, trap_s
        csrw    stvec, t0
        csrw    medeleg, x0
        expect  a3, CAUSE_FETCH_PAGE
        la      a2, 3b
        expect_same a4, a2
        srli    a6, a6, 32
        expect  a6, 0xffffffff
        done

        paging_memory
