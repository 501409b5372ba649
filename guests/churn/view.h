/* Loads, stores and calls through a mapping, each checked against the model: value, cause, tval, A and D. */
#ifndef VIEW_H
#define VIEW_H

#include "space.h"

/* `*expected` is the PTE as it must be, without A; a store that is allowed adds D. */
void view_load(struct space *s, unsigned long va, pte_t expected, int frame, int w);
void view_store(struct space *s, unsigned long va, pte_t *expected, int frame, int w);
void view_call(struct space *s, unsigned long va, pte_t expected, int frame);

/* The entry at `entry` is `expected`, give or take A, which must be there when `accessed`. */
void entry_check(const volatile pte_t *entry, pte_t expected, int accessed);

/* Nothing is mapped at va: load, store and fetch fault. */
void view_none(unsigned long va);

#endif
