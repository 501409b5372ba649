/* The 16550, polled: wait until the transmit holding register is empty, then store one byte; load one where it says that one came. */
#include "uart.h"
#include "layout.h"

enum { THR = 0, RBR = 0, LSR = 5, LSR_DR = 0x01, LSR_THRE = 0x20 };

void uart_put(char c)
{
    volatile unsigned char *uart = (volatile unsigned char *)UART_BASE;
    while (!(uart[LSR] & LSR_THRE))
        ;
    uart[THR] = (unsigned char)c;
}

int uart_get(void)
{
    volatile unsigned char *uart = (volatile unsigned char *)UART_BASE;
    return uart[LSR] & LSR_DR ? uart[RBR] : -1;
}
