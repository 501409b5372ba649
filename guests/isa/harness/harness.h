# Macros of the instruction tests. They rely on as little as they can: li, mv, beq, jal, auipc.
#
#   tests name          opens a file of tests; `done` closes it
#   test                next test number (kept in s11; the exit code when it fails)
#   expect r, v         register r must hold the constant v           expect_either r, v, w
#   expect_same r, q    registers r and q must be equal               expect_bits r, mask, v
#   traps c, insn…      insn must trap to M-mode with cause c, its address in mepc
#   enter mode          go on in `u` or `s` mode; `leave` comes back to M-mode by ecall
#
# Registers: s11 test number, s10 where the next trap resumes (0: a trap is a failure), a0, a1, t0, ra scratch of these macros.
# Only hart 0 runs tests, so a number is found again by the address that FAIL prints.

        .option norelax                         # addresses stay what the source says
        .option norvc                           # 32-bit encodings; compressed.S asks for the others

#define CAUSE_FETCH_FAULT       1
#define CAUSE_ILLEGAL           2
#define CAUSE_BREAKPOINT        3
#define CAUSE_LOAD_MISALIGNED   4
#define CAUSE_LOAD_FAULT        5
#define CAUSE_STORE_MISALIGNED  6
#define CAUSE_STORE_FAULT       7
#define CAUSE_ECALL_U           8
#define CAUSE_ECALL_S           9
#define CAUSE_ECALL_M           11
#define CAUSE_FETCH_PAGE        12
#define CAUSE_LOAD_PAGE         13
#define CAUSE_STORE_PAGE        15
#define INTERRUPT               (1 << 63)

#define MSTATUS_SIE     (1 << 1)
#define MSTATUS_MIE     (1 << 3)
#define MSTATUS_SPIE    (1 << 5)
#define MSTATUS_MPIE    (1 << 7)
#define MSTATUS_SPP     (1 << 8)
#define MSTATUS_MPP     (3 << 11)
#define MSTATUS_MPP_S   (1 << 11)
#define MSTATUS_FS      (3 << 13)
#define MSTATUS_MPRV    (1 << 17)
#define MSTATUS_SUM     (1 << 18)
#define MSTATUS_MXR     (1 << 19)
#define MSTATUS_TVM     (1 << 20)
#define MSTATUS_TW      (1 << 21)
#define MSTATUS_TSR     (1 << 22)

#define UNMAPPED        0x18000000              /* nothing answers here, on virt and on Gnomon */
#define CLINT           0x02000000
#define MTIMECMP        0x02004000
#define MTIME           0x0200bff8

        /* Offsets in `trapped`, the record of the last trap to M-mode, and in `trapped_s`. */
#define CAUSE           8
#define EPC             16
#define TVAL            24
#define STATUS          32

        .macro  tests name
        .section .rodata
        .globl  name
name:   .asciz  "isa/\name"
        .text
        .globl  run
        .set    number, 0
run:
        .endm

        .macro  done
        .if     number > 255
        .error  "an exit code has eight bits: split this file"
        .endif
        li      a0, number
        j       passed
        .endm

        .macro  test
        .set    number, number + 1
        li      s11, number
        .endm

        .macro  expect_same found, wanted
        .option push
        .option norvc
        mv      a0, \found
        .ifnc   \wanted, a1
        mv      a1, \wanted
        .endif
        beq     a0, a1, .+8
        jal     ra, failed
        .option pop
        .endm

        .macro  expect found, wanted
        .option push
        .option norvc
        mv      a0, \found
        li      a1, \wanted
        beq     a0, a1, .+8
        jal     ra, failed
        .option pop
        .endm

        .macro  expect_either found, one, other
        .option push
        .option norvc
        mv      a0, \found
        li      a1, \other
        beq     a0, a1, 95f
        li      a1, \one
        beq     a0, a1, 95f
        jal     ra, failed
95:
        .option pop
        .endm

        .macro  expect_bits found, mask, wanted
        li      a1, \mask
        and     t0, \found, a1
        expect  t0, \wanted
        .endm

        .macro  last_trap field, to
        la      t0, trapped
        ld      \to, \field(t0)
        .endm

        .macro  last_trap_s field, to
        la      t0, trapped_s
        ld      \to, \field(t0)
        .endm

        .macro  expect_trap cause
        li      a1, \cause
        jal     ra, check_cause
        .endm

        .macro  expect_tval wanted
        li      a1, \wanted
        jal     ra, check_tval
        .endm

        .macro  expect_epc label
        la      a1, \label
        jal     ra, check_epc
        .endm

        .macro  traps cause, instruction:vararg
        test
        la      s10, 92f
91:     \instruction
        jal     ra, did_not_trap
92:     expect_trap \cause
        expect_epc 91b
        .endm

        # Reserved and foreign encodings, given as numbers of 32 or 16 bits. mtval: the instruction, or 0.
        .macro  illegal word
        traps   CAUSE_ILLEGAL, .4byte \word
        last_trap TVAL, a2
        li      a3, \word
        expect_zero_or a2, a3
        .endm

        .macro  illegal_short half
        traps   CAUSE_ILLEGAL, .2byte \half
        last_trap TVAL, a2
        li      a3, \half
        expect_zero_or a2, a3
        .endm

        .macro  expect_zero_or found, wanted
        .option push
        .option norvc
        beqz    \found, .+20
        mv      a0, \found
        mv      a1, \wanted
        beq     a0, a1, .+8
        jal     ra, failed
        .option pop
        .endm

        .macro  enter mode
        li      t0, MSTATUS_MPP
        csrc    mstatus, t0
        .ifc    \mode, s
        li      t0, MSTATUS_MPP_S
        csrs    mstatus, t0
        .endif
        la      t0, 93f
        csrw    mepc, t0
        mret
93:
        .endm

        .macro  leave
        la      s10, 94f
        ecall
        jal     ra, did_not_trap
94:
        .endm
