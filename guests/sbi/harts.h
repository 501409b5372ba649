#ifndef HARTS_H
#define HARTS_H

#include "layout.h"

/* What the trap hook counted, by hart. */
struct interrupts {
    unsigned long ipis, timers;
} __attribute__((aligned(64)));

extern struct interrupts interrupts[MAX_HARTS];

void interrupts_open(void);             /* each hart: software and timer interrupts of S-mode */
void interrupts_close(void);

void test_timer(unsigned long me);      /* the tests that all harts run together */
void test_ipi(unsigned long me, unsigned long first);
void test_fence_i(unsigned long me, unsigned long first);
void test_fence_vma(unsigned long me, unsigned long first);

#endif
