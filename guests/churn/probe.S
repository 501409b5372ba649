# Accesses that may fault. Each returns a1 = 0, or the cause of the page fault, put there by fault.c.
# The access is the first instruction, so the symbol is its address.

        .text
        .option norvc
        .globl  probe_load, probe_store, probe_add, probe_call, probe_end

probe_load:                                     # a0 = address; returns a0 = value
        ld      a0, 0(a0)
        li      a1, 0
        ret
probe_store:                                    # a0 = address, a1 = value
        sd      a1, 0(a0)
        li      a1, 0
        ret
probe_add:                                      # a0 = address, a1 = amount; returns a0 = value before
        amoadd.d a0, a1, (a0)
        li      a1, 0
        ret
probe_call:                                     # a0 = address of code that returns a value in a0
        li      a1, 0
        jr      a0                              # ra is our caller's: a fetch fault resumes there
probe_end:
