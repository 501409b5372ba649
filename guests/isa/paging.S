# Sv39, what may be accessed: V, R, W, X, U, SUM, MXR, MPRV, with cause and tval.

#include "paging.h"

        tests   paging
        paging_on

        # Plain pages: what S-mode stores at the virtual address is at the physical one.
        page    0, one, ALL
        page    1, two, ALL
        test
        li      a3, WINDOW
        li      a4, 0x1234567812345678
        works   s, sd a4, 8(a3)
        la      a5, one
        ld      a2, 8(a5)
        expect_same a2, a4
        li      a4, 99
        sd      a4, 16(a5)
        works   s, ld a2, 16(a3)
        expect  a2, 99

        # Permissions. The bits a fault asks for are V, R, W, X; A and D are set.
        li      a3, WINDOW
        page    0, one, 0
        faults  s, CAUSE_LOAD_PAGE, WINDOW, ld a5, 0(a3)
        faults  s, CAUSE_STORE_PAGE, WINDOW + 9, sb a5, 9(a3)
        page    0, one, ALL & ~V
        faults  s, CAUSE_LOAD_PAGE, WINDOW, ld a5, 0(a3)
        page    0, one, V | R | A | D
        test
        works   s, ld a5, 0(a3)
        faults  s, CAUSE_STORE_PAGE, WINDOW + 8, sd a5, 8(a3)
        faults  s, CAUSE_STORE_PAGE, WINDOW, amoadd.d a5, a5, (a3)
        faults  s, CAUSE_STORE_PAGE, WINDOW, amoswap.w x0, x0, (a3)
        test
        works   s, lr.d a5, (a3)                        # LR only loads
        page    0, one, V | X | A | D
        faults  s, CAUSE_LOAD_PAGE, WINDOW, ld a5, 0(a3)
        faults  s, CAUSE_STORE_PAGE, WINDOW, sd a5, 0(a3)
        li      a2, MSTATUS_MXR
        csrs    mstatus, a2
        test
        works   s, ld a5, 0(a3)                         # MXR: executable is readable
        faults  s, CAUSE_STORE_PAGE, WINDOW, sd a5, 0(a3)
        li      a2, MSTATUS_MXR
        csrc    mstatus, a2
        page    0, one, V | W | A | D                   # W without R: reserved
        faults  s, CAUSE_LOAD_PAGE, WINDOW, ld a5, 0(a3)
        faults  s, CAUSE_STORE_PAGE, WINDOW, sd a5, 0(a3)
        page    0, one, V | W | X | A | D
        faults  s, CAUSE_LOAD_PAGE, WINDOW, ld a5, 0(a3)

        # Fetches.
        .macro  fetch_faults mode, at
        test
        li      a4, \at
        la      s10, 1f
        enter   \mode
        jr      a4
1:      expect_trap CAUSE_FETCH_PAGE
        expect_tval \at
        last_trap EPC, a2
        expect_same a2, a4
        .endm
        page    0, one, 0
        fetch_faults s, WINDOW + 4
        page    0, one, V | R | W | A | D
        fetch_faults s, WINDOW + 6
        fetch_faults s, 0x8000000000
        fetch_faults s, WINDOW + 0x8000                 # a user page, to S: never
        li      a2, MSTATUS_SUM
        csrs    mstatus, a2
        fetch_faults s, WINDOW + 0x8000                 # nor with SUM
        li      a2, MSTATUS_SUM
        csrc    mstatus, a2

        # U and SUM.
        page    0, one, ALL | U
        faults  s, CAUSE_LOAD_PAGE, WINDOW, ld a5, 0(a3)
        faults  s, CAUSE_STORE_PAGE, WINDOW, sd a5, 0(a3)
        user_works user_load
        user_works user_store
        li      a2, MSTATUS_SUM
        csrs    mstatus, a2
        test
        works   s, ld a5, 0(a3)
        works   s, sd a5, 0(a3)
        li      a2, MSTATUS_SUM
        csrc    mstatus, a2
        page    0, one, ALL
        user_faults user_load, CAUSE_LOAD_PAGE, WINDOW
        user_faults user_store, CAUSE_STORE_PAGE, WINDOW
        page    0, one, V | R | U | A | D
        user_works user_load
        user_faults user_store, CAUSE_STORE_PAGE, WINDOW
        page    0, one, V | X | U | A
        user_faults user_load, CAUSE_LOAD_PAGE, WINDOW
        li      a2, MSTATUS_MXR
        csrs    mstatus, a2
        user_works user_load
        csrc    mstatus, a2
        li      a2, MSTATUS_MXR
        csrc    mstatus, a2

        # MPRV: M-mode's loads and stores go by MPP; its fetches do not.
        page    0, one, ALL
        test
        la      a5, one
        li      a4, 4711
        sd      a4, 0(a5)
        li      a4, MSTATUS_MPP
        csrc    mstatus, a4
        li      a4, MSTATUS_MPP_S | MSTATUS_MPRV
        csrs    mstatus, a4
        ld      a2, 0(a3)
        csrc    mstatus, a4
        expect  a2, 4711
        .macro  mprv_faults mpp, cause, instruction:vararg
        test
        li      a4, MSTATUS_MPP
        csrc    mstatus, a4
        li      a4, \mpp | MSTATUS_MPRV
        la      s10, 1f
        csrs    mstatus, a4
        \instruction
        csrc    mstatus, a4
        jal     ra, did_not_trap
1:      li      a4, MSTATUS_MPRV
        csrc    mstatus, a4
        expect_trap \cause
        expect_tval WINDOW
        last_trap STATUS, a2
        expect_bits a2, MSTATUS_MPP, MSTATUS_MPP
        .endm
        mprv_faults 0, CAUSE_LOAD_PAGE, ld a2, 0(a3)
        page    0, one, V | R | A | D
        mprv_faults MSTATUS_MPP_S, CAUSE_STORE_PAGE, sd a2, 0(a3)
        done

        paging_memory
