/* A bucket: a lock word and a chain. Even buckets lock by AMOSWAP.W, odd ones by AMOSWAP.D. */
#ifndef BUCKET_H
#define BUCKET_H

#include "csr.h"
#include "list.h"

struct bucket {
    unsigned long lock;
    struct node *first;
};

static inline void bucket_lock(struct bucket *b, int wide)
{
    unsigned long was;
    for (;;) {
        if (wide)
            asm volatile("amoswap.d.aq %0, %1, (%2)" : "=&r"(was) : "r"(1UL), "r"(&b->lock) : "memory");
        else
            asm volatile("amoswap.w.aq %0, %1, (%2)" : "=&r"(was) : "r"(1UL), "r"(&b->lock) : "memory");
        if (!was)
            return;
        while (*(volatile unsigned long *)&b->lock)
            relax();
    }
}

static inline void bucket_unlock(struct bucket *b, int wide)
{
    if (wide)
        asm volatile("amoswap.d.rl zero, zero, (%0)" :: "r"(&b->lock) : "memory");
    else
        asm volatile("amoswap.w.rl zero, zero, (%0)" :: "r"(&b->lock) : "memory");
}

#endif
