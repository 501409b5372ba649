/* What an operating system asks of the SBI, in S-mode at 0x8020_0000.
 *
 * Guarantees B1  the base extension answers, and says no to what it does not know
 *            B2  harts start, stop and start again where they are told, with their id and the opaque word
 *            B3  timer and software interrupts arrive, as often as asked for
 *            B4  remote fences have happened when the call returns
 *            B5  the machine ends by system reset: shutdown, or with a failure as the reason
 */
#include "barrier.h"
#include "call.h"
#include "csr.h"
#include "harts.h"
#include "machine.h"
#include "print.h"
#include "string.h"

const char program[] = "sbi";

extern char second_start[];

static unsigned long first;             /* the hart that came from the SBI */
static unsigned long rounds;            /* how often the others were started */

static unsigned long opaque_of(unsigned long hart)
{
    return 0x1234000000000000UL + rounds * 256 + hart;
}

static void test_base(void)
{
    static const unsigned long needed[] = { SBI_TIME, SBI_IPI, SBI_RFENCE, SBI_HSM, SBI_SRST };
    unsigned long version = sbi2(SBI_BASE, BASE_VERSION, 0, 0).value;
    print("sbi: version %lu.%lu implementation %lu (0x%lx) console %s", version >> 24, version & 0xffffff,
          sbi2(SBI_BASE, BASE_IMPLEMENTATION, 0, 0).value, sbi2(SBI_BASE, BASE_IMPLEMENTATION_VERSION, 0, 0).value,
          sbi_probe(SBI_DBCN) ? "DBCN" : "legacy");
    if (version < 3 || version >> 31)
        fail("version: expected 0.3 or later found 0x%lx", version);
    for (unsigned int i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!sbi_probe(needed[i]))
            fail("probe of 0x%lx: expected present found 0", needed[i]);
    must_equal("probe of nothing", 0, sbi_probe(0x0a0b0c0d));
    must_equal("call of nothing", (unsigned long)NOT_SUPPORTED, (unsigned long)sbi2(0x0a0b0c0d, 0, 0, 0).error);
    must_equal("function of nothing", (unsigned long)NOT_SUPPORTED, (unsigned long)sbi2(SBI_TIME, 99, 0, 0).error);
    for (unsigned long f = BASE_VENDOR; f <= BASE_MACHINE; f++)
        must_equal("base function", 0, (unsigned long)sbi2(SBI_BASE, f, 0, 0).error);
}

static void test_console(void)
{
    static const char text[] = "sbi: hello, a whole line at once\n";
    if (!sbi_probe(SBI_DBCN))
        return;
    unsigned long done = 0, length = strlen(text);
    while (done < length) {             /* it may write less than asked for */
        struct answer a = sbi(SBI_DBCN, 0, length - done, (unsigned long)text + done, 0, 0, 0);
        must_equal("console_write", 0, (unsigned long)a.error);
        done += a.value;
    }
}

static void await_status(unsigned long hart, unsigned long wanted)
{
    struct answer a;
    do {
        a = sbi2(SBI_HSM, HSM_STATUS, hart, 0);
        must_equal("hart_get_status", 0, (unsigned long)a.error);
    } while (a.value != wanted && (a.value == START_PENDING || a.value == STOP_PENDING || wanted == STOPPED));
    must_equal("status of a hart", wanted, a.value);
}

static void start_others(void)
{
    rounds++;
    for (unsigned long hart = 0; hart < machine.harts; hart++) {
        if (hart == first)
            continue;
        await_status(hart, STOPPED);
        struct answer a = sbi(SBI_HSM, HSM_START, hart, (unsigned long)second_start, opaque_of(hart), 0, 0);
        must_equal("hart_start", 0, (unsigned long)a.error);
        await_status(hart, STARTED);
        a = sbi(SBI_HSM, HSM_START, hart, (unsigned long)second_start, 0, 0, 0);
        must_equal("hart_start of a started hart", (unsigned long)ALREADY_AVAILABLE, (unsigned long)a.error);
    }
}

static void together(unsigned long me)
{
    barrier();
    interrupts_open();
    test_timer(me);
    test_ipi(me, first);
    interrupts_close();
    test_fence_i(me, first);
    test_fence_vma(me, first);
}

/* The other harts come here from second_start. */
void second(unsigned long me, unsigned long opaque)
{
    must_equal("opaque word", opaque_of(me), opaque);
    must_equal("satp of a started hart", 0, csr_read(satp));
    must_equal("sstatus.SIE of a started hart", 0, csr_read(sstatus) & 2);
    together(me);
    fail("hart_stop: expected no return found %ld", sbi2(SBI_HSM, HSM_STOP, 0, 0).error);
}

void guest(unsigned long me)
{
    first = me;
    test_base();
    test_console();
    must_equal("status of the first hart", STARTED, sbi2(SBI_HSM, HSM_STATUS, me, 0).value);
    must_equal("hart_start of no hart", (unsigned long)INVALID_PARAM,
               (unsigned long)sbi(SBI_HSM, HSM_START, 4711, (unsigned long)second_start, 0, 0, 0).error);
    for (int round = 0; round < 2; round++) {
        start_others();
        together(me);
    }
    for (unsigned long hart = 0; hart < machine.harts; hart++)
        if (hart != me)
            await_status(hart, STOPPED);
    if (bootarg("fail", 0))
        fail("on purpose: expected 0 found %lu", bootarg("fail", 0));
    unsigned long ipis = 0, timers = 0;
    for (unsigned long h = 0; h < machine.harts; h++) {
        ipis += interrupts[h].ipis;
        timers += interrupts[h].timers;
    }
    pass("harts=%lu first=%lu ipis=%lu timers=%lu", machine.harts, first, ipis, timers);
}
