# FENCE in all its forms does nothing that one hart can see; FENCE.I makes stores to code visible to fetches.

#include "harness.h"

        tests   fence
        test
        li      a2, 5
        fence
        fence   rw, w
        fence   r, rw
        fence   iorw, iorw
        fence   i, o
        fence.tso
        .4byte  0x0100000f                              # pause
        .4byte  0x0000000f                              # no predecessor, no successor
        .4byte  0x0ff5058f                              # rd, rs1 set: reserved fields, to be ignored
        .4byte  0xa330000f                              # fm reserved: treated as fm = 0
        fence.i
        expect  a2, 5

        # Rewrite one instruction, many times: addi a2, x0, i.
        test
        la      a3, patched
        li      a4, 0
1:      slli    a5, a4, 20
        li      a6, 0x00000613
        or      a5, a5, a6
        sw      a5, 0(a3)
        fence.i
        jal     t1, patched
        expect_same a2, a4
        addi    a4, a4, 1
        li      a5, 1000
        bltu    a4, a5, 1b

        # Code written from nothing, in memory that was data: a 16-bit instruction that follows a 32-bit one.
        test
        la      a3, fresh
        li      a4, 0x00700613                          # addi a2, x0, 7
        sw      a4, 2(a3)
        li      a4, 0x0001                              # c.nop
        sh      a4, 0(a3)
        li      a4, 0x8302                              # c.jr t1
        sh      a4, 6(a3)
        fence.i
        jal     t1, 1f
        j       2f
1:      jr      a3
2:      expect  a2, 7
        li      a4, 0x00800613
        sw      a4, 2(a3)
        fence.i
        jal     t1, 1f
        j       2f
1:      jr      a3
2:      expect  a2, 8

        # An instruction that straddles two pages, rewritten half by half.
        test
        la      a3, straddle
        li      a4, 0x8302
        sh      a4, 4(a3)
        li      a4, 0x00900613
        sh      a4, 0(a3)
        srli    a4, a4, 16
        sh      a4, 2(a3)
        fence.i
        jal     t1, 1f
        j       2f
1:      jr      a3
2:      expect  a2, 9
        li      a4, 0x00a0                              # its upper half alone, on the second page
        sh      a4, 2(a3)
        fence.i
        jal     t1, 1f
        j       2f
1:      jr      a3
2:      expect  a2, 10
        done

        .section .wx, "awx"
        .balign 4
patched:
        li      a2, 0
        jr      t1
        .balign 4
fresh:  .skip   8

        .section .bss
        .balign 4096
        .skip   4094
straddle:
        .skip   8
