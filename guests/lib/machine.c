/* The machine as this guest sees it, and the boot arguments. */
#include "machine.h"
#include "fdt.h"
#include "layout.h"

struct machine machine;

extern char image_end[];

void machine_read(const void *fdt)
{
    machine.harts = 1;                  /* without a device tree: the smallest machine */
    machine.ram_bytes = 16UL << 20;
    machine.bootargs[0] = 0;
    fdt_read(fdt, &machine);
    if (machine.harts > MAX_HARTS)
        machine.harts = MAX_HARTS;
}

unsigned long ram_start(void)
{
    return (unsigned long)image_end;
}

unsigned long ram_end(void)
{
    return RAM_BASE + machine.ram_bytes;
}

static unsigned long number(const char *s, unsigned long otherwise)
{
    unsigned long n = 0;
    const char *digits = s;
    while (*s >= '0' && *s <= '9')
        n = n * 10 + (unsigned long)(*s++ - '0');
    if (s == digits)
        return otherwise;
    if (*s == 'k' || *s == 'K')
        n <<= 10;
    else if (*s == 'm' || *s == 'M')
        n <<= 20;
    return n;
}

unsigned long bootarg(const char *key, unsigned long otherwise)
{
    const char *s = machine.bootargs;
    while (*s) {
        const char *k = key;
        while (*s == ' ')
            s++;
        while (*k && *s == *k) {
            s++;
            k++;
        }
        if (!*k && *s == '=')
            return number(s + 1, otherwise);
        while (*s && *s != ' ')
            s++;
    }
    return otherwise;
}
