/* Control and status registers by name, and the few instructions that C lacks. */
#ifndef CSR_H
#define CSR_H

#define csr_read(name)        ({ unsigned long v_; asm volatile("csrr %0, " #name : "=r"(v_) :: "memory"); v_; })
#define csr_write(name, v)    asm volatile("csrw " #name ", %0" :: "rK"((unsigned long)(v)) : "memory")
#define csr_set(name, v)      asm volatile("csrs " #name ", %0" :: "rK"((unsigned long)(v)) : "memory")
#define csr_clear(name, v)    asm volatile("csrc " #name ", %0" :: "rK"((unsigned long)(v)) : "memory")

#define MIE_MSIE        (1UL << 3)
#define MIE_MTIE        (1UL << 7)
#define MSTATUS_MIE     (1UL << 3)
#define MSTATUS_MPIE    (1UL << 7)
#define MSTATUS_MPP     (3UL << 11)
#define MSTATUS_MPP_S   (1UL << 11)
#define SSTATUS_SPP     (1UL << 8)
#define SSTATUS_SUM     (1UL << 18)
#define SSTATUS_MXR     (1UL << 19)

static inline unsigned long hart_id(void)
{
    unsigned long id;
    asm("mv %0, tp" : "=r"(id));
    return id;
}

/* PAUSE is a hint: harts without Zihintpause run it as a fence that orders nothing. */
static inline void relax(void)
{
    asm volatile(".insn i 0x0f, 0, x0, x0, 0x010" ::: "memory");
}

#endif
