/*
** pool.h - the parent's half of a pool: chunks in, finished chunks out.
**
** One task's way:
**
**   lua_pool.c    check arguments; encode the items      Draft
**   pool.c        slot or backlog                        pool_submit
**   table.c       READY, wake one sleeper  ==========    claim        table.c
**                                          worker.c, task.c: decode, call
**                                          and encode
**   table.c       collect                  ==========    finish       table.c
**   pool.c        who, which items                       pool_next
**   lua_job.c     decode in place, settle, callbacks
**   pool.c        free, or submit the rest again         pool_settle
*/
#ifndef POOL_H
#define POOL_H

#include "buf.h"
#include "supervisor.h"

typedef enum PoolState {
  POOL_OPEN,
  POOL_CLOSED,     /* no more work from the user */
  POOL_DRAINED,    /* workers were told to leave */
  POOL_TERMINATED, /* workers were killed */
  POOL_BROKEN      /* no worker can be started */
} PoolState;

enum { POOL_WINDOW_BYTES = 64 << 20 }; /* when nobody says */

/* What a pool is made of. */
typedef struct PoolSpec {
  uint32_t processes; /* 0: serial, no process at all */
  uint32_t depth;     /* of its workers */
  uint64_t max_items;
  uint64_t window_bytes;  /* of results that wait; 0: as usual */
  const uint8_t *options; /* for runner_start */
  size_t options_bytes;
  const char *digests;
} PoolSpec;

/* A task function's definition, kept while anything refers to it. */
typedef struct Definition {
  uint64_t number;
  size_t at, room; /* in ARGS */
  size_t bytes;
  uint8_t *text;
  const char *label; /* its name for people */
  uint32_t refs;
  double ns_per_item;              /* of late; 0: not known */
  struct Definition *next, **self; /* a list; *self is this one */
} Definition;

/* Consecutive items of one job. */
typedef struct Chunk {
  uint64_t job, first;
  uint32_t count, attempt; /* of its first item; the others are new */
  bool stops;              /* at the first failure: the rest comes back */
  Definition *fn;
  size_t at, room;    /* block in ARGS; room 0: `heap` has the bytes */
  size_t from, bytes; /* the items are [from, from + bytes) of the block */
  uint8_t *heap;
} Chunk;

/* Arguments being encoded: `buf` is open until submitted or dropped. */
typedef struct Draft {
  Buf buf;
  size_t at, room;            /* as in Chunk */
  struct Draft *next, **self; /* open ones, as in Definition */
} Draft;

typedef struct Finished {
  Chunk chunk;
  Completion result; /* bytes are valid until pool_settle */
  uint32_t worker;   /* number, from 1; 0: serial */
  int pid, why;      /* why: wait status of a lost worker */
  uint64_t busy_ns;
  uint8_t *heap; /* result bytes that outlived their table, or NULL */
} Finished;

typedef struct Pool Pool;

int pool_open(Pool **pool, const PoolSpec *spec, Nursery *nursery);
void pool_free(Pool *p); /* kills what still runs */

/* ---- submitting ---- */
Definition *pool_define(Pool *p, const uint8_t *text, size_t bytes,
                        const char *label);
void pool_undefine(Pool *p, Definition *d); /* gives up one reference */
/* `guess` bytes of room to begin with. 0, or -1. */
int pool_begin(Pool *p, Draft *d, size_t guess);
void pool_drop(Pool *p, Draft *d);
size_t pool_most_bytes(const Pool *p); /* that one chunk can have */
/* Takes the draft; runs at once, or when there is room. 0, or -1 ENOMEM. */
int pool_submit(Pool *p, Draft *d, Chunk chunk);
/* The same of a copy of these bytes. */
int pool_submit_bytes(Pool *p, const uint8_t *bytes, size_t n, Chunk chunk);
void pool_hold(Pool *p, bool holding); /* see table_hold */

/* ---- collecting ---- */
bool pool_has_next(const Pool *p); /* perhaps */
bool pool_next(Pool *p, Finished *f);
/* Of a chunk that is not settled yet: its `bytes` of items. */
const uint8_t *pool_arguments(const Pool *p, const Chunk *c);
/* The first `used` items are settled; what is left runs again, its first
** item for the `attempt`th time. False: there was no memory to keep it, and it
** is gone. */
bool pool_settle(Pool *p, const Finished *f, uint32_t used, uint32_t attempt);
/* Takes back all of a job that no worker has begun; number of items. */
uint64_t pool_revoke(Pool *p, uint64_t job);
/* What of it is under way may be killed, if it does not end soon. */
void pool_doom(Pool *p, uint64_t job);
bool pool_is_running(const Pool *p, uint64_t job);
uint32_t pool_busy(const Pool *p);        /* workers that run a chunk */
bool pool_serial_next(Pool *p, Chunk *c); /* serial: the oldest chunk */
void pool_free_chunk(Pool *p, Chunk *c);

typedef enum PoolWait { WAIT_WOKEN, WAIT_TIMEOUT, WAIT_SIGNAL } PoolWait;
/* Sleeps until `enough` chunks have finished (or a worker has nothing to do,
** or something else happened). */
PoolWait pool_wait(Pool *p, uint32_t enough, int64_t timeout_ns);
/* Never sleeps. Afterwards pool_fd tells truly whether there is more. */
void pool_poll(Pool *p);
int pool_fd(const Pool *p);

bool pool_is_serial(const Pool *p);
uint64_t pool_outstanding(const Pool *p); /* chunks not yet settled */
uint32_t pool_size(const Pool *p);        /* workers */
uint64_t pool_unclaimed(const Pool *p);
uint64_t pool_max_items(const Pool *p); /* of a worker; 0: no limit */

/* ---- ending ---- */
PoolState pool_state(const Pool *p);
void pool_mark_closed(Pool *p); /* no more work from the user */
void pool_close(Pool *p);       /* ... and, with nothing outstanding, drained */
void pool_terminate(Pool *p);
bool pool_is_ended(const Pool *p); /* no process of it is left */
/* The last worker's wait status; -1: the supervisor could not be replaced. */
int pool_broken_why(const Pool *p);
/* Frees all but what the user still holds; after the end. */
void pool_release(Pool *p);
bool pool_is_released(const Pool *p);
/* Is a finished chunk between pool_next and pool_settle? */
bool pool_is_held(const Pool *p);
/* Can no other supervisor be opened before that one is settled? */
bool pool_is_stuck(const Pool *p);
size_t pool_start_error(const Pool *p, char *to, size_t room);

#endif
