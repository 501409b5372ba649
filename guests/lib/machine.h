/* What the device tree said: read once by hart 0 before any other hart runs, constant afterwards. */
#ifndef MACHINE_H
#define MACHINE_H

struct machine {
    unsigned long harts;                /* crt0.S reads this word: keep it first */
    unsigned long ram_bytes;
    char bootargs[256];
};

extern struct machine machine;
extern const char program[];            /* each guest names itself */

void machine_read(const void *fdt);     /* called by crt0.S */
void guest(unsigned long hart);         /* each guest's main, called on every hart */

/* The value of `key=` in the boot arguments: decimal with an optional k or m (times 2^10, 2^20), or `otherwise`. */
unsigned long bootarg(const char *key, unsigned long otherwise);

/* RAM above the image. */
unsigned long ram_start(void);
unsigned long ram_end(void);

#endif
