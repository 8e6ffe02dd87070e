/*
** worker.h - the life of a worker.
*/
#ifndef WORKER_H
#define WORKER_H

#include <lua.h>

#include "supervisor.h"

/* Does not return. `module` is what the worker's scripts get by
** require "tidepool". */
void worker_run(Table *t, const Brief *brief, uint32_t me, uint32_t generation,
                lua_CFunction module);

#endif
