/* Calls of the RISC-V Supervisor Binary Interface: extension, function, arguments; error and value come back. */
#ifndef CALL_H
#define CALL_H

struct answer {
    long error;
    unsigned long value;
};

enum {
    SBI_BASE = 0x10, SBI_TIME = 0x54494d45, SBI_IPI = 0x735049, SBI_RFENCE = 0x52464e43,
    SBI_HSM = 0x48534d, SBI_SRST = 0x53525354, SBI_DBCN = 0x4442434e, SBI_LEGACY_PUTCHAR = 1,
};

enum { BASE_VERSION, BASE_IMPLEMENTATION, BASE_IMPLEMENTATION_VERSION, BASE_PROBE, BASE_VENDOR, BASE_ARCHITECTURE, BASE_MACHINE };
enum { HSM_START, HSM_STOP, HSM_STATUS, HSM_SUSPEND };
enum { STARTED, STOPPED, START_PENDING, STOP_PENDING };
enum { RFENCE_I, RFENCE_VMA, RFENCE_VMA_ASID };
enum { NOT_SUPPORTED = -2, INVALID_PARAM = -3, ALREADY_AVAILABLE = -6 };

static inline struct answer sbi(unsigned long extension, unsigned long function, unsigned long x, unsigned long y,
                                unsigned long z, unsigned long u, unsigned long v)
{
    register unsigned long a0 asm("a0") = x, a1 asm("a1") = y, a2 asm("a2") = z, a3 asm("a3") = u, a4 asm("a4") = v;
    register unsigned long a6 asm("a6") = function, a7 asm("a7") = extension;
    asm volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a3), "r"(a4), "r"(a6), "r"(a7) : "memory");
    return (struct answer){ (long)a0, a1 };
}

static inline struct answer sbi2(unsigned long extension, unsigned long function, unsigned long x, unsigned long y)
{
    return sbi(extension, function, x, y, 0, 0, 0);
}

static inline unsigned long sbi_probe(unsigned long extension)
{
    return sbi2(SBI_BASE, BASE_PROBE, extension, 0).value;
}

#endif
