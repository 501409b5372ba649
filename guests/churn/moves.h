/* The moves of the churn: each changes tables of its hart's space and checks what it changed. */
#ifndef MOVES_H
#define MOVES_H

#include "space.h"

void slot_check(struct space *s, int slot);
void slot_map(struct space *s);
void slot_unmap(struct space *s);
void slot_protect(struct space *s);
void slot_aliases(struct space *s);
void slot_table_alias(struct space *s);
void root_switch(struct space *s);
void status_turn(struct space *s);

void superpage_turn(struct space *s);           /* large.c */
void frame_as_table(struct space *s);           /* former.c */
void shared_round(struct space *s, unsigned long round, unsigned long master);  /* shared.c: every hart calls it together */

#endif
