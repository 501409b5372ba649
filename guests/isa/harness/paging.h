# What paging.S and walk.S share: tables, user code, and macros to use them.
#
# root[2] is a gigapage of RAM onto itself, so S-mode runs where M-mode does; root[0] the devices.
# The pages under test are at WINDOW + 4096 i, through `leaf`. User code is there too, a copy of `user_code`.

#include "harness.h"

#define WINDOW  0x40000000
#define RAM     0x80000000

#define V       1
#define R       2
#define W       4
#define X       8
#define U       16
#define G       32
#define A       64
#define D       128
#define ALL     (V | R | W | X | A | D)

        .macro  put_pte table, index, physical, flags, load=la
        \load   t1, \physical
        srli    t1, t1, 2
        li      t2, \flags
        or      t1, t1, t2
        la      t2, \table + 8 * \index
        sd      t1, 0(t2)
        sfence.vma
        .endm

        .macro  map table, index, address, flags        # the same for a physical address that is a number
        put_pte \table, \index, \address, \flags, li
        .endm

        .macro  page index, physical, flags             # WINDOW + 4096 * index
        put_pte leaf, \index, \physical, \flags
        .endm

        .macro  faults mode, cause, tval, instruction:vararg
        test
        la      s10, 1f
        enter   \mode
2:      \instruction
        jal     ra, did_not_trap
1:      expect_trap \cause
        expect_tval \tval
        expect_epc 2b
        .endm

        .macro  works mode, instruction:vararg
        enter   \mode
        \instruction
        leave
        .endm

        # Run one of the stubs of user_code in U-mode; a3 is its address operand. Ends by ecall or fault at s10.
        .macro  user stub
        la      s10, 1f
        li      t0, MSTATUS_MPP
        csrc    mstatus, t0
        la      t0, \stub
        la      t1, user_code
        sub     t0, t0, t1
        li      t1, WINDOW + 0x8000
        add     t0, t0, t1
        csrw    mepc, t0
        mret
1:
        .endm

        .macro  user_works stub
        test
        user    \stub
        expect_trap CAUSE_ECALL_U
        .endm

        .macro  user_faults stub, cause, tval
        test
        user    \stub
        expect_trap \cause
        expect_tval \tval
        .endm

        # Build the tables and load satp; translation starts below M-mode.
        .macro  paging_on
        csrw    medeleg, x0
        la      a2, user_code
        la      a3, user_end
        la      a4, user_page
1:      lw      a5, 0(a2)
        sw      a5, 0(a4)
        addi    a2, a2, 4
        addi    a4, a4, 4
        bltu    a2, a3, 1b
        la      a4, user_page + 4094
        li      a5, 0x0793                              # the lower half of li a5, …
        sh      a5, 0(a4)
        fence.i
        map     root, 0, 0, ALL
        map     root, 2, RAM, ALL
        put_pte root, 1, middle, V
        put_pte middle, 0, leaf, V
        page    8, user_page, V | R | X | U | A
        la      a2, root
        srli    a2, a2, 12
        li      a3, 8 << 60
        or      a2, a2, a3
        csrw    satp, a2
        sfence.vma
        .endm

        # At the end of the file: code that is copied to a user page, and memory.
        .macro  paging_memory
user_code:
user_load:
        ld      a5, 0(a3)
        ecall
user_store:
        sd      a5, 0(a3)
        ecall
user_end:

        .section .bss
        .balign 4096
one:    .skip   4096
two:    .skip   4096
user_page:
        .skip   4096
root:   .skip   4096
other_root:
        .skip   4096
middle: .skip   4096
leaf:   .skip   4096
        .endm
