#ifndef BARRIER_H
#define BARRIER_H

void barrier(void);                     /* returns when every hart of the machine has called it */

#endif
