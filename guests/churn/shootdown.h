/* Remote TLB flush: a software interrupt to M-mode of every other hart, which fences and answers. */
#ifndef SHOOTDOWN_H
#define SHOOTDOWN_H

void shootdown_ready(void);             /* M-mode, once a hart */
void shootdown(void);                   /* S-mode: returns when every hart has forgotten its old translations */
unsigned long shootdowns(void);         /* how many harts were interrupted so far */

#endif
