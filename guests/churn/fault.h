/* Page faults of S-mode: answered when A or D is what is missing, reported when a probe met them. */
#ifndef FAULT_H
#define FAULT_H

#include "layout.h"

struct faults {
    unsigned long reported;             /* to a probe */
    unsigned long bits_set;             /* A or D set by us: the hart does not do it by itself */
    unsigned long last_tval;            /* of the last one reported */
} __attribute__((aligned(64)));

extern struct faults faults[MAX_HARTS];

void faults_to_supervisor(void);        /* M-mode, once a hart: delegate and hook */

#endif
