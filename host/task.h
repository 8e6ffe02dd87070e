/*
** task.h - runs the items of one task in a Lua state: decode, call, encode.
*/
#ifndef TASK_H
#define TASK_H

#include <lua.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "buf.h"

/* How far a task is, for those outside; written item by item. */
typedef struct TaskMeter {
  _Atomic uint32_t *cut;      /* not zero: leave the rest */
  _Atomic uint32_t *progress; /* 2 * finished + 1 while an item runs */
  _Atomic uint64_t *result_bytes;
} TaskMeter;

typedef struct Task {
  uint64_t fn; /* number of the function; its definition comes along */
  const uint8_t *definition;
  size_t definition_bytes;
  const uint8_t *args;
  size_t args_bytes;
  uint64_t job, first;
  uint32_t count, attempt;
  bool stops;        /* at the first failure: the rest is handed back */
  uint32_t finished; /* items done so far: written by the runner */
} Task;

/* What lives as long as the Lua state. */
typedef struct Runner {
  lua_State *L;
  const Task *task;    /* running now, or NULL */
  uint64_t items_left; /* until this worker has served its time */
  /* Make `out` longer, where it is or, empty, elsewhere: the item is to be
  ** written again from its begin. 0, or -1 errno. */
  int (*widen)(struct Runner *r);
  uint32_t number, generation; /* of the worker; number 0: serial mode */
  uint32_t depth;              /* of nested pools; 1 in a worker of the first */
  size_t most_bytes;           /* a single result can have */
  void *owner;
  int functions, finalizer; /* references in the registry */
} Runner;

/* With a fresh state, `module` in it as "tidepool", for one process: this one
** or a child of it. NULL: it failed. */
Runner *runner_new(lua_CFunction module);
/* Serial mode: runs in the caller's state and call frame from now on. May
** raise. The runner that was there before goes to runner_return, to restore. */
void runner_borrow(Runner *r, lua_State *L);
void runner_return(lua_State *L, Runner *before);

/*
** Reads scripts, runs the initializer. `brief` is what the pool's options
** became (lua/tidepool/worker.lua reads it). On failure -1, and a frame with
** the failure is in *failure (on the heap).
*/
int runner_start(Runner *r, const uint8_t *brief, size_t bytes, Buf *failure);
/* Runs the finalizer; its failure goes to stderr. */
void runner_finish(Runner *r);
/* The end of a worker: that, and Lua's own finalizers; does not return. */
void runner_leave(Runner *r);
/* Appends a frame per item to `out`; never raises, but in serial mode when
** there is no memory for even the shortest one. */
void runner_run(Runner *r, Task *task, Buf *out, TaskMeter meter);
/* The runner whose state this is, or NULL. */
Runner *runner_of(lua_State *L);

#endif
