/* The functions GCC may call by itself, and the few string functions the tree parser needs.
   Built with -fno-tree-loop-distribute-patterns, or memset would be compiled into a call of memset. */
#include "string.h"

void *memcpy(void *to, const void *from, size_t n)
{
    unsigned char *d = to;
    const unsigned char *s = from;
    if ((((unsigned long)d | (unsigned long)s) & 7) == 0)
        for (; n >= 8; n -= 8, d += 8, s += 8)
            *(unsigned long __attribute__((may_alias)) *)d = *(const unsigned long __attribute__((may_alias)) *)s;
    while (n--)
        *d++ = *s++;
    return to;
}

void *memmove(void *to, const void *from, size_t n)
{
    unsigned char *d = to;
    const unsigned char *s = from;
    if ((unsigned long)d <= (unsigned long)s)
        return memcpy(to, from, n);     /* memcpy above goes upwards */
    while (n--)
        d[n] = s[n];
    return to;
}

void *memset(void *to, int c, size_t n)
{
    unsigned char *d = to;
    unsigned long eight = (unsigned char)c * 0x0101010101010101UL;
    for (; n && ((unsigned long)d & 7); n--)
        *d++ = (unsigned char)c;
    for (; n >= 8; n -= 8, d += 8)
        *(unsigned long __attribute__((may_alias)) *)d = eight;
    while (n--)
        *d++ = (unsigned char)c;
    return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const unsigned char *x = a, *y = b;
    for (; n; n--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}

size_t strlen(const char *s)
{
    size_t n = 0;
    while (s[n])
        n++;
    return n;
}

int strcmp(const char *a, const char *b)
{
    return strncmp(a, b, ~0UL);
}

int strncmp(const char *a, const char *b, size_t n)
{
    for (; n; n--, a++, b++)
        if (*a != *b || !*a)
            return (unsigned char)*a - (unsigned char)*b;
    return 0;
}
