/* What every trap ends in: the hook of its mode, or FAIL. */
#include "trap.h"
#include "print.h"

trap_hook *trap_hook_m, *trap_hook_s;

void trap_m(struct trap *t)
{
    if (!trap_hook_m || !trap_hook_m(t))
        fail("trap mcause=0x%lx mepc=0x%lx mtval=0x%lx", t->cause, t->epc, t->tval);
}

void trap_s(struct trap *t)
{
    if (!trap_hook_s || !trap_hook_s(t))
        fail("trap scause=0x%lx sepc=0x%lx stval=0x%lx", t->cause, t->epc, t->tval);
}
