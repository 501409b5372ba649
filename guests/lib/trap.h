/* Traps. Without a hook every trap is a failure of the guest. */
#ifndef TRAP_H
#define TRAP_H

struct trap {
    unsigned long x[32];                /* x[0] is not used */
    unsigned long epc, cause, tval, status;
};

#define CAUSE_INTERRUPT         (1UL << 63)
#define CAUSE_FETCH_FAULT       1
#define CAUSE_ILLEGAL           2
#define CAUSE_BREAKPOINT        3
#define CAUSE_LOAD_FAULT        5
#define CAUSE_STORE_FAULT       7
#define CAUSE_ECALL_S           9
#define CAUSE_FETCH_PAGE        12
#define CAUSE_LOAD_PAGE         13
#define CAUSE_STORE_PAGE        15

/* Return non-zero when handled: the hart goes on at t->epc with the registers in `t`. */
typedef int trap_hook(struct trap *t);

extern trap_hook *trap_hook_m, *trap_hook_s;

void trap_entry_m(void);                /* for mtvec; mscratch holds the top of a trap stack */
void trap_entry_s(void);                /* for stvec; sscratch likewise */

#endif
