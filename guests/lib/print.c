/* A line is built on the stack and leaves under one lock. */
#include <stdarg.h>
#include "print.h"
#include "csr.h"
#include "finisher.h"
#include "machine.h"
#include "uart.h"

struct line {
    unsigned int length;
    char text[248];
};

static int console_lock;
static int ending;                      /* set by the first hart to say PASS or FAIL */

static void put(struct line *l, char c)
{
    if (l->length < sizeof l->text)
        l->text[l->length++] = c;
}

static void put_string(struct line *l, const char *s)
{
    while (*s)
        put(l, *s++);
}

static void put_number(struct line *l, unsigned long v, unsigned int base, unsigned int width)
{
    char digits[20];
    unsigned int n = 0;
    do {
        digits[n++] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v);
    for (; width > n; width--)
        put(l, '0');
    while (n)
        put(l, digits[--n]);
}

static void put_format(struct line *l, const char *f, va_list *args)
{
    for (; *f; f++) {
        unsigned int width = 0;
        int is_long = 0;
        if (*f != '%') {
            put(l, *f);
            continue;
        }
        for (f++; *f >= '0' && *f <= '9'; f++)
            width = width * 10 + (unsigned int)(*f - '0');
        if (*f == 'l') {
            is_long = 1;
            f++;
        }
        if (*f == 's') {
            put_string(l, va_arg(*args, const char *));
        } else if (*f == 'c') {
            put(l, (char)va_arg(*args, int));
        } else if (*f == 'd') {
            long v = is_long ? va_arg(*args, long) : va_arg(*args, int);
            if (v < 0)
                put(l, '-');
            put_number(l, v < 0 ? -(unsigned long)v : (unsigned long)v, 10, 0);
        } else if (*f == 'u' || *f == 'x') {
            unsigned long v = is_long ? va_arg(*args, unsigned long) : va_arg(*args, unsigned int);
            put_number(l, v, *f == 'x' ? 16 : 10, width);
        } else if (*f) {
            put(l, *f);
        } else {
            return;
        }
    }
}

static void send(struct line *l)
{
    /* A hart that trapped inside this lock must still be able to say so: patience is bounded. */
    for (int turns = 0; __atomic_exchange_n(&console_lock, 1, __ATOMIC_ACQUIRE) && turns < 1000000; turns++)
        relax();
    for (unsigned int i = 0; i < l->length; i++)
        uart_put(l->text[i]);
    uart_put('\n');
    __atomic_store_n(&console_lock, 0, __ATOMIC_RELEASE);
}

void print(const char *format, ...)
{
    struct line l = { 0 };
    va_list args;
    va_start(args, format);
    put_format(&l, format, &args);
    va_end(args);
    send(&l);
}

static void __attribute__((noreturn)) end(const char *verdict, const char *mark, const char *format, va_list *args, unsigned int code)
{
    struct line l = { 0 };
    while (__atomic_exchange_n(&ending, 1, __ATOMIC_ACQ_REL))
        asm volatile("wfi");            /* the first verdict stands */
    put_string(&l, verdict);
    put_string(&l, program);
    put_string(&l, mark);
    put_format(&l, format, args);
    send(&l);
    finish(code);
}

void pass(const char *figures, ...)
{
    va_list args;
    va_start(args, figures);
    end("PASS ", " ", figures, &args, 0);
}

void fail(const char *why, ...)
{
    va_list args;
    va_start(args, why);
    end("FAIL ", ": ", why, &args, 1);
}

void must_equal(const char *what, unsigned long expected, unsigned long found)
{
    if (expected != found)
        fail("%s: expected 0x%lx found 0x%lx", what, expected, found);
}
