/* Sizes and addresses shared by C and assembly. The devices stand where QEMU's `virt` has them. */
#ifndef LAYOUT_H
#define LAYOUT_H

#define MAX_HARTS        8
#define STACK_BYTES      8192
#define TRAP_STACK_BYTES 4096

#define RAM_BASE         0x80000000
#define UART_BASE        0x10000000
#define CLINT_BASE       0x02000000
#define FINISHER_BASE    0x00100000

#define PAGE_BYTES       4096
#define TICKS_PER_MS     10000          /* mtime runs at 10 MHz */

#endif
