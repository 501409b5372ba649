/* Fails on purpose, with exit code 7: whoever runs guests must notice. */
#include "finisher.h"
#include "machine.h"
#include "print.h"

const char program[] = "fail";

void guest(unsigned long me)
{
    if (me)
        return;
    print("FAIL fail: on purpose: expected 0 found 7");
    finish(7);
}
