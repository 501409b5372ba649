/* Random numbers without state to share: a counter stepped by an odd constant, mixed to 64 good bits. */
#ifndef PRNG_H
#define PRNG_H

static inline unsigned long mix(unsigned long x)
{
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93UL;
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93UL;
    return x ^ x >> 32;
}

static inline unsigned long random_next(unsigned long *state)
{
    return mix(*state += 0x9e3779b97f4a7c15UL);
}

static inline unsigned long random_below(unsigned long *state, unsigned long n)
{
    return random_next(state) % n;      /* n is small: the bias does not matter here */
}

#endif
