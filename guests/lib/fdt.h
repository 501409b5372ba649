#ifndef FDT_H
#define FDT_H

struct machine;

/* Fill in what the flattened device tree tells; leave `m` alone where it is silent or no tree is there. */
void fdt_read(const void *fdt, struct machine *m);

#endif
