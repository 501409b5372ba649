# RV64I, loads and stores: width, sign, offset, neighbours left alone, misaligned, across a page boundary.

#include "harness.h"

        .macro  load op, result, offset
        test
        la      a3, data
        \op     a2, \offset(a3)
        expect  a2, \result
        la      a3, data + 2048
        \op     a2, \offset - 2048(a3)
        expect  a2, \result
        la      a2, data
        \op     a2, \offset(a2)                         # rd = rs1
        expect  a2, \result
        \op     x0, \offset(a3)
        expect  x0, 0
        .endm

        # Store into a field of ones; the doubleword there must become `result`.
        .macro  store op, result, offset, value
        test
        la      a3, field
        li      a2, -1
        sd      a2, 0(a3)
        sd      a2, 8(a3)
        li      a4, \value
        \op     a4, \offset(a3)
        ld      a2, 0(a3)
        expect  a2, \result
        ld      a2, 8(a3)
        expect  a2, -1
        addi    a3, a3, -2000
        \op     a4, 2000 + \offset(a3)
        addi    a3, a3, 2000
        ld      a2, 0(a3)
        expect  a2, \result
        .endm

        # Write and read `value` at every byte offset 0…8 from `base`, and read it back byte by byte.
        .macro  misaligned store, load, bytes, value, base
        .irp    offset, 1,2,3,4,5,6,7
        test
        la      a3, \base
        sd      zero, 0(a3)
        sd      zero, 8(a3)
        li      a4, \value
        \store  a4, \offset(a3)
        \load   a2, \offset(a3)
        expect_same a2, a4
        li      a5, 0
        .set    i, \bytes
        .rept   \bytes
        .set    i, i - 1
        lbu     a2, \offset + i(a3)
        slli    a5, a5, 8
        or      a5, a5, a2
        .endr
        slli    a4, a4, 64 - 8 * \bytes
        srli    a4, a4, 64 - 8 * \bytes
        expect_same a5, a4
        lbu     a2, \offset - 1(a3)
        expect  a2, 0
        lbu     a2, \offset + \bytes(a3)
        expect  a2, 0
        .endr
        .endm

        tests   memory
        load    lb,  0xfffffffffffffff0, 0
        load    lb,  0x7e, 7
        load    lbu, 0xf0, 0
        load    lbu, 0x7e, 7
        load    lh,  0xffffffffffffdef0, 0
        load    lh,  0x7edc, 6
        load    lhu, 0xdef0, 0
        load    lhu, 0x7edc, 6
        load    lw,  0xffffffff9abcdef0, 0
        load    lw,  0x7edcba98, 4
        load    lwu, 0x9abcdef0, 0
        load    lwu, 0x7edcba98, 4
        load    ld,  0x7edcba989abcdef0, 0
        load    ld,  0x8000000000000001, 8

        store   sb, 0xffffffffffffff00, 0, 0x1234567812345600
        store   sb, 0x80ffffffffffffff, 7, 0x180
        store   sh, 0xffffffffffff1234, 0, 0xff1234
        store   sh, 0x1234ffffffffffff, 6, 0xff1234
        store   sw, 0xffffffff12345678, 0, 0x9912345678
        store   sw, 0x12345678ffffffff, 4, 0x9912345678
        store   sd, 0x0123456789abcdef, 0, 0x0123456789abcdef

        misaligned sh, lh, 2, 0x1234, field
        misaligned sw, lw, 4, 0x12345678, field
        misaligned sd, ld, 8, 0x123456789abcdef0, field
        misaligned sh, lh, 2, 0x1234, page_end
        misaligned sw, lw, 4, 0x12345678, page_end
        misaligned sd, ld, 8, 0x123456789abcdef0, page_end
        .macro  signs base
        test
        la      a3, \base
        li      a2, -1
        sd      a2, 0(a3)
        sd      a2, 8(a3)
        lh      a2, 7(a3)
        expect  a2, -1
        lhu     a2, 7(a3)
        expect  a2, 0xffff
        lw      a2, 6(a3)
        expect  a2, -1
        lwu     a2, 6(a3)
        expect  a2, 0xffffffff
        .endm
        signs   field
        signs   page_end                                # the page boundary is 8 bytes above it

        # Encodings without a meaning: a load of width 7, a store of width 4.
        illegal 0x0005f503
        illegal 0x00a5c023
        done

        .data
        .balign 8
data:   .dword  0x7edcba989abcdef0, 0x8000000000000001

        .section .bss
        .balign 4096
field:  .skip   4096 - 8
page_end:
        .skip   16
