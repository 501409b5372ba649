/* Sense-reversing barrier of all harts. The last to arrive turns the sense; what any hart stored before
   is visible to every hart after (the release of each arrival, the acquire of each departure). */
#include "barrier.h"
#include "csr.h"
#include "layout.h"
#include "machine.h"

static unsigned long arrived;
static unsigned long sense;
static unsigned long my_sense[MAX_HARTS];

void barrier(void)
{
    unsigned long mine = my_sense[hart_id()] ^= 1;
    if (__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) == machine.harts) {
        __atomic_store_n(&arrived, 0, __ATOMIC_RELAXED);        /* ordered before the turn by its release */
        __atomic_store_n(&sense, mine, __ATOMIC_RELEASE);
        return;
    }
    while (__atomic_load_n(&sense, __ATOMIC_ACQUIRE) != mine)
        relax();
}
