/* Sv39 page tables: the words, and where a virtual address is looked up. */
#ifndef SV39_H
#define SV39_H

#include "csr.h"
#include "layout.h"

typedef unsigned long pte_t;

#define PTE_V   1UL
#define PTE_R   2UL
#define PTE_W   4UL
#define PTE_X   8UL
#define PTE_U   16UL
#define PTE_G   32UL
#define PTE_A   64UL
#define PTE_D   128UL
#define PTE_RWX (PTE_R | PTE_W | PTE_X)

#define SV39_ENTRIES    512
#define SUPERPAGE_BYTES (2UL << 20)
#define SATP_SV39       (8UL << 60)

static inline pte_t pte_of(const volatile void *physical, unsigned long flags)
{
    return (unsigned long)physical >> 12 << 10 | flags;
}

static inline void *pte_target(pte_t pte)
{
    return (void *)(pte << 10 >> 20 << 12);
}

static inline unsigned long sv39_index(unsigned long va, int level)
{
    return va >> (12 + 9 * level) & (SV39_ENTRIES - 1);
}

/* The entry that translates `va`, or the invalid one that ends the walk. Tables are reachable at their physical address. */
static inline volatile pte_t *sv39_entry(volatile pte_t *root, unsigned long va)
{
    volatile pte_t *entry = &root[sv39_index(va, 2)];
    for (int level = 1; level >= 0 && (*entry & (PTE_V | PTE_RWX)) == PTE_V; level--)
        entry = &((volatile pte_t *)pte_target(*entry))[sv39_index(va, level)];
    return entry;
}

static inline unsigned long satp_of(const volatile pte_t *root)
{
    return SATP_SV39 | (unsigned long)root >> 12;
}

static inline void sfence(void)
{
    asm volatile("sfence.vma" ::: "memory");
}

static inline void sfence_address(unsigned long va)
{
    asm volatile("sfence.vma %0" :: "r"(va) : "memory");
}

static inline void sfence_address_asid(unsigned long va, unsigned long asid)
{
    asm volatile("sfence.vma %0, %1" :: "r"(va), "r"(asid) : "memory");
}

#endif
