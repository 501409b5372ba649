#ifndef PROBE_H
#define PROBE_H

struct probed {
    unsigned long value, cause;         /* cause 0: no fault */
};

struct probed probe_load(unsigned long va);
struct probed probe_store(unsigned long va, unsigned long value);
struct probed probe_add(unsigned long va, unsigned long amount);
struct probed probe_call(unsigned long va);     /* the code there keeps a1 */
extern char probe_end[];

#endif
