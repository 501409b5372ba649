# RV64I, computation: every register and immediate form, all operand overlaps, results in x0.

#include "harness.h"

        # op rd, rs1, rs2 in four shapes: all different, rd = rs1, rd = rs2, rd = x0
        .macro  rr op, result, a, b
        test
        li      a2, \a
        li      a3, \b
        \op     a4, a2, a3
        expect  a4, \result
        mv      a4, a2
        \op     a4, a4, a3
        expect  a4, \result
        mv      a4, a3
        \op     a4, a2, a4
        expect  a4, \result
        \op     x0, a2, a3
        expect  x0, 0
        .endm

        .macro  ri op, result, a, immediate
        test
        li      a2, \a
        \op     a4, a2, \immediate
        expect  a4, \result
        \op     a2, a2, \immediate
        expect  a2, \result
        \op     x0, a2, \immediate
        expect  x0, 0
        .endm

        tests   alu
        # LUI sign-extends from bit 31; AUIPC adds to its own address.
        test
        lui     a2, 0x12345
        expect  a2, 0x12345000
        lui     a2, 0x80000
        expect  a2, 0xffffffff80000000
        lui     a2, 0xfffff
        expect  a2, 0xfffffffffffff000
        lui     x0, 0xfffff
        expect  x0, 0
        test
1:      auipc   a2, 0
        la      a3, 1b
        expect_same a2, a3
2:      auipc   a2, 0x80000
        la      a3, 2b
        sub     a2, a2, a3
        expect  a2, 0xffffffff80000000
3:      auipc   a2, 1
        la      a3, 3b
        sub     a2, a2, a3
        expect  a2, 4096

        ri      addi,  0, 0, 0
        ri      addi,  0x7ff, 0, 0x7ff
        ri      addi,  -0x800, 0, -0x800
        ri      addi,  0x8000000000000000, 0x7fffffffffffffff, 1
        ri      addi,  -1, 0, -1
        ri      addiw, 0xffffffff80000000, 0x7fffffff, 1
        ri      addiw, 0, 0xffffffff, 1
        ri      addiw, 0x12345678, 0xdeadbeef12345678, 0
        ri      addiw, 0xffffffff87654321, 0x87654321, 0
        ri      slti,  1, -1, 0
        ri      slti,  0, 0, -1
        ri      slti,  0, 5, 5
        ri      slti,  1, 0x8000000000000000, -0x800
        ri      sltiu, 1, 0, 1
        ri      sltiu, 0, -1, 1
        ri      sltiu, 1, 0x7fffffffffffffff, -1       # the immediate is sign-extended, then unsigned
        ri      sltiu, 0, -1, -1
        ri      xori,  0xffffffffffff0f0f, 0xf0f0, -1
        ri      xori,  0x55, 0xaa, 0xff
        ri      ori,   -1, 0xf0f0, -1
        ri      ori,   0xf0ff, 0xf0f0, 0xff
        ri      andi,  0xf0f0, 0xf0f0, -1
        ri      andi,  0xf0, 0xfffff0f0, 0xff
        ri      slli,  0x8000000000000000, 1, 63
        ri      slli,  1, 1, 0
        ri      slli,  0x100000000, 1, 32
        ri      srli,  1, 0x8000000000000000, 63
        ri      srli,  0x7fffffffffffffff, -1, 1
        ri      srli,  -1, -1, 0
        ri      srai,  -1, 0x8000000000000000, 63
        ri      srai,  0xf800000000000000, 0x8000000000000000, 4
        ri      srai,  0x3fffffffffffffff, 0x7fffffffffffffff, 1
        ri      slliw, 0xffffffff80000000, 1, 31
        ri      slliw, 0, 0xffffffff00000000, 0
        ri      slliw, 0xffffffffffffffe0, 0xfffffffe, 4
        ri      srliw, 1, 0xffffffff80000000, 31
        ri      srliw, 0xffffffff80000000, 0x80000000, 0
        ri      srliw, 0x08000000, 0x0000000180000000, 4
        ri      sraiw, -1, 0x80000000, 31
        ri      sraiw, 0xfffffffff8000000, 0x0000000180000000, 4
        ri      sraiw, 0x07ffffff, 0xffffffff7fffffff, 4

        rr      add,  0, 0, 0
        rr      add,  0x8000000000000000, 0x7fffffffffffffff, 1
        rr      add,  -2, -1, -1
        rr      sub,  0, 7, 7
        rr      sub,  0x7fffffffffffffff, 0x8000000000000000, 1
        rr      sub,  -1, 0, 1
        rr      addw, 0xffffffff80000000, 0x7fffffff, 1
        rr      addw, 0, 0xffffffff, 0x100000001
        rr      subw, 0x7fffffff, 0xffffffff80000000, 1
        rr      subw, -1, 0x1234567800000000, 1
        rr      sll,  0x8000000000000000, 1, 63
        rr      sll,  2, 1, 65                          # the amount is six bits
        rr      sll,  1, 1, 64
        rr      sllw, 0xffffffff80000000, 1, 31
        rr      sllw, 1, 1, 32                          # the amount is five bits
        rr      sllw, 0xfffffffffffffff0, 0xffffffff, 0xffffffffffffffe4
        rr      srl,  1, -1, 63
        rr      srl,  -1, -1, 64
        rr      srlw, 0x7fffffff, 0xffffffff, 1
        rr      srlw, -1, 0xffffffff, 32
        rr      srlw, 0x0fffffff, 0x12345678ffffffff, 36
        rr      sra,  -1, 0x8000000000000000, 127
        rr      sra,  0x1fffffffffffffff, 0x7fffffffffffffff, 2
        rr      sraw, -1, 0xffffffff, 31
        rr      sraw, 0x1fffffff, 0x7fffffff, 2
        rr      sraw, 0xffffffffe0000000, 0x0000000080000000, 34
        rr      slt,  1, -1, 0
        rr      slt,  0, 0, -1
        rr      slt,  1, 0x8000000000000000, 0x7fffffffffffffff
        rr      slt,  0, 3, 3
        rr      sltu, 0, -1, 0
        rr      sltu, 1, 0, -1
        rr      sltu, 1, 0x7fffffffffffffff, 0x8000000000000000
        rr      sltu, 0, 3, 3
        rr      xor,  0xff00ff00ff00ff00, 0x0ff00ff00ff00ff0, 0xf0f0f0f0f0f0f0f0
        rr      or,   0xfff0fff0fff0fff0, 0x0ff00ff00ff00ff0, 0xf0f0f0f0f0f0f0f0
        rr      and,  0x00f000f000f000f0, 0x0ff00ff00ff00ff0, 0xf0f0f0f0f0f0f0f0

        # Shift amounts that RV64 reserves: bit 25 of the W forms, and bit 5 of the 6-bit funct field.
        illegal 0x0205151b                              # slliw a0, a0, 32
        illegal 0x0205551b                              # srliw a0, a0, 32
        illegal 0x4205551b                              # sraiw a0, a0, 32
        illegal 0x80000033                              # add with funct7 = 0x40
        illegal 0x40001033                              # sll with funct7 = 0x20

        # Every register holds what it is given: x1 … x31 hold 31 different values at once.
        test
        .irp    n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,28,29,30,31
        li      x\n, 0x1234567 * \n
        .endr
        .irp    n, 2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,28,29,30,31
        add     x1, x1, x\n
        .endr
        li      s10, 0
        expect  x1, 0x1234567 * (31 * 32 / 2 - 27)
        la      sp, stack_top
        done
