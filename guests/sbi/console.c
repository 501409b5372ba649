/* The console and the end of the machine, by SBI: here instead of lib/uart and lib/finisher. */
#include "call.h"
#include "finisher.h"
#include "uart.h"

enum { DBCN_WRITE_BYTE = 2, SHUTDOWN = 0, NO_REASON = 0, SYSTEM_FAILURE = 1 };

void uart_put(char c)
{
    static int has_console;             /* 0: not asked yet, 1: no, 2: yes */
    if (!has_console)
        has_console = sbi_probe(SBI_DBCN) ? 2 : 1;
    if (has_console == 2)
        sbi2(SBI_DBCN, DBCN_WRITE_BYTE, (unsigned char)c, 0);
    else
        sbi2(SBI_LEGACY_PUTCHAR, 0, (unsigned char)c, 0);
}

void finish(unsigned int code)
{
    sbi2(SBI_SRST, 0, SHUTDOWN, code ? SYSTEM_FAILURE : NO_REASON);
    for (;;)
        asm volatile("wfi");
}
