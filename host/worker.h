/*
** worker.h - the life of a worker.
*/
#ifndef WORKER_H
#define WORKER_H

#include <lua.h>

#include "supervisor.h"

/* In an ancestor: what all workers need, for worker_run, or NULL. `module` is
** what their scripts get by require "tidepool". */
void *worker_prepare(lua_CFunction module);

/* Does not return. `runner` is one of task.h's, or NULL. */
void worker_run(void *runner, Table *t, const Brief *brief, uint32_t me,
                uint32_t generation);

#endif
