/* Lines on the console, whole even when several harts print, and the two ways a guest ends. */
#ifndef PRINT_H
#define PRINT_H

/* %s %c %d %u %x with `l` (64 bits) or without, %% and a zero-padded width for x. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

void pass(const char *figures, ...) __attribute__((noreturn, format(printf, 1, 2)));
void fail(const char *why, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* FAIL unless they are equal. Numbers print in hexadecimal. */
void must_equal(const char *what, unsigned long expected, unsigned long found);

#endif
