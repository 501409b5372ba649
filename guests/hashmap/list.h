/* A stack of nodes that any hart pushes to (LR/SC) and takes from whole (AMOSWAP), without a lock.
   Taking the whole list is what keeps it free of ABA: nobody compares a head that could have come back. */
#ifndef LIST_H
#define LIST_H

struct node {
    struct node *next;
    unsigned long key, value;
};

static inline void list_push(struct node **head, struct node *n)
{
    unsigned long old, seen, failed;
    asm volatile("1: ld      %0, (%4)\n"
                 "   sd      %0, (%3)\n"        /* before LR: a store between LR and SC may cost the reservation for ever */
                 "   lr.d    %1, (%4)\n"
                 "   bne     %1, %0, 1b\n"
                 "   sc.d.rl %2, %3, (%4)\n"    /* release: the taker sees the node's fields */
                 "   bnez    %2, 1b"
                 : "=&r"(old), "=&r"(seen), "=&r"(failed) : "r"(n), "r"(head) : "memory");
}

static inline struct node *list_take_all(struct node **head)
{
    struct node *n;
    asm volatile("amoswap.d.aq %0, zero, (%1)" : "=r"(n) : "r"(head) : "memory");
    return n;
}

/* The two counters of the lock-free section, one a width. */
static inline void count_w(unsigned int *counter)
{
    unsigned long t, failed;
    asm volatile("1: lr.w  %0, (%2)\n"
                 "   addiw %0, %0, 1\n"
                 "   sc.w  %1, %0, (%2)\n"
                 "   bnez  %1, 1b"
                 : "=&r"(t), "=&r"(failed) : "r"(counter) : "memory");
}

static inline void count_d(unsigned long *counter, unsigned long amount)
{
    unsigned long t, failed;
    asm volatile("1: lr.d.aqrl %0, (%2)\n"
                 "   add       %0, %0, %3\n"
                 "   sc.d.rl   %1, %0, (%2)\n"
                 "   bnez      %1, 1b"
                 : "=&r"(t), "=&r"(failed) : "r"(counter), "r"(amount) : "memory");
}

#endif
