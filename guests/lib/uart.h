#ifndef UART_H
#define UART_H

void uart_put(char c);
int uart_get(void);                     /* a character that came, or -1 */

#endif
