/*
** worker.h - the life of a worker.
*/
#ifndef WORKER_H
#define WORKER_H

#include "supervisor.h"

/* Does not return. `runner` is one of task.h's, or NULL. */
void worker_run(void *runner, Table *t, const Brief *brief, uint32_t me,
                uint32_t generation);

#endif
