/* Remote fences: one hart changes code and page tables, asks the SBI to fence the others, and they must see it. */
#include "harts.h"
#include "barrier.h"
#include "call.h"
#include "machine.h"
#include "print.h"
#include "sv39.h"

enum { TURNS = 50 };

#define WINDOW 0x1000000000UL

static pte_t tables[3][SV39_ENTRIES] __attribute__((aligned(PAGE_BYTES)));     /* root, middle, last */
static volatile unsigned long frames[2][SV39_ENTRIES] __attribute__((aligned(PAGE_BYTES)));
static volatile unsigned int code[2] __attribute__((aligned(8)));

static unsigned long others(unsigned long me)
{
    return ((1UL << machine.harts) - 1) & ~(1UL << me);
}

void test_fence_i(unsigned long me, unsigned long first)
{
    for (unsigned int turn = 0; turn < TURNS; turn++) {
        if (me == first) {
            code[0] = turn << 20 | 0x513;       /* li a0, turn */
            code[1] = 0x8067;                   /* ret */
            asm volatile("fence.i" ::: "memory");
            must_equal("remote_fence_i", 0, (unsigned long)sbi2(SBI_RFENCE, RFENCE_I, others(me), 0).error);
        }
        barrier();
        must_equal("code after remote_fence_i", turn, ((unsigned long (*)(void))code)());
        barrier();
    }
}

static void tables_build(void)
{
    unsigned long all = PTE_V | PTE_RWX | PTE_A | PTE_D;
    tables[0][sv39_index(RAM_BASE, 2)] = pte_of((void *)RAM_BASE, all);
    tables[0][sv39_index(WINDOW, 2)] = pte_of(tables[1], PTE_V);
    tables[1][0] = pte_of(tables[2], PTE_V);
}

void test_fence_vma(unsigned long me, unsigned long first)
{
    volatile unsigned long *window = (volatile unsigned long *)WINDOW;
    if (me == first)
        tables_build();
    barrier();
    csr_write(satp, satp_of(tables[0]));
    sfence();
    for (unsigned long turn = 0; turn < TURNS; turn++) {
        if (me == first) {
            *(volatile unsigned long *)&frames[turn & 1][7] = turn;
            *(volatile pte_t *)&tables[2][0] = pte_of(frames[turn & 1], PTE_V | PTE_R | PTE_A);
            sfence();
            struct answer a = turn & 2 ? sbi(SBI_RFENCE, RFENCE_VMA, others(me), 0, WINDOW, PAGE_BYTES, 0)
                            : turn & 4 ? sbi(SBI_RFENCE, RFENCE_VMA_ASID, others(me), 0, WINDOW, PAGE_BYTES, 0)
                                       : sbi(SBI_RFENCE, RFENCE_VMA, 0, -1UL, 0, -1UL, 0);
            must_equal("remote_sfence_vma", 0, (unsigned long)a.error);
        }
        barrier();
        must_equal("word after remote_sfence_vma", turn, window[7]);
        barrier();
    }
    csr_write(satp, 0);
    sfence();
    barrier();
}
