/* Flattened device tree (Devicetree Specification 0.4, chapter 5): just enough of it.
   We want the number of /cpus/cpu@* nodes, the size in /memory@*'s reg, and /chosen/bootargs.
   The tree is big-endian and only four-byte aligned. */
#include "fdt.h"
#include "machine.h"
#include "string.h"

enum { MAGIC = 0xd00dfeed, BEGIN_NODE = 1, END_NODE = 2, PROP = 3, NOP = 4 };

static unsigned int word(const unsigned char *p)
{
    return (unsigned int)p[0] << 24 | (unsigned int)p[1] << 16 | (unsigned int)p[2] << 8 | p[3];
}

static unsigned long cells(const unsigned char *p, unsigned int count)
{
    unsigned long v = 0;
    for (unsigned int i = 0; i < count; i++)
        v = v << 32 | word(p + 4 * i);
    return v;
}

static int starts(const char *s, const char *with)
{
    return strncmp(s, with, strlen(with)) == 0;
}

void fdt_read(const void *fdt, struct machine *m)
{
    const unsigned char *base = fdt;
    if (!base || ((unsigned long)base & 3) || word(base) != MAGIC)
        return;
    const unsigned char *p = base + word(base + 8);
    const unsigned char *end = base + word(base + 4);
    const char *strings = (const char *)base + word(base + 12);
    unsigned int address_cells = 2, size_cells = 1;     /* the specification's defaults */
    unsigned long cpus = 0;
    int depth = 0;
    enum { OTHER, CPUS, MEMORY, CHOSEN } top = OTHER;   /* the depth-one node we are in */

    while (p + 4 <= end) {
        unsigned int token = word(p);
        p += 4;
        if (token == BEGIN_NODE) {
            const char *name = (const char *)p;
            depth++;
            if (depth == 2)
                top = strcmp(name, "cpus") == 0 ? CPUS : starts(name, "memory") ? MEMORY :
                      strcmp(name, "chosen") == 0 ? CHOSEN : OTHER;
            else if (depth == 3 && top == CPUS && starts(name, "cpu@"))
                cpus++;
            p += (strlen(name) + 4) & ~3UL;
        } else if (token == END_NODE) {
            depth--;
        } else if (token == PROP) {
            unsigned int length = word(p);
            const char *name = strings + word(p + 4);
            const unsigned char *value = p + 8;
            p = value + ((length + 3) & ~3U);
            if (depth == 1 && strcmp(name, "#address-cells") == 0)
                address_cells = word(value);
            else if (depth == 1 && strcmp(name, "#size-cells") == 0)
                size_cells = word(value);
            else if (depth == 2 && top == MEMORY && strcmp(name, "reg") == 0)
                m->ram_bytes = cells(value + 4 * address_cells, size_cells);
            else if (depth == 2 && top == CHOSEN && strcmp(name, "bootargs") == 0 && length < sizeof m->bootargs)
                memcpy(m->bootargs, value, length);
        } else if (token != NOP) {
            break;                                      /* END, or a token we do not know */
        }
    }
    if (cpus)
        m->harts = cpus;
}
