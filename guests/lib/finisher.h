#ifndef FINISHER_H
#define FINISHER_H

void finish(unsigned int code) __attribute__((noreturn));       /* end the machine with this exit code */

#endif
