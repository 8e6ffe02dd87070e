/*
** lua_pool.h - what the files of the pool's Lua face share.
**
** lua_pool.c   the pool: open, pump, wait, end
** lua_start.c  a call becomes a job
** lua_feed.c   a job's input becomes chunks
** lua_job.c    finished chunks become a job's results
** lua_result.c what the user holds: AsyncResult and imap's iterator
** lua_look.c   what there is to see of a pool
*/
#ifndef LUA_POOL_H
#define LUA_POOL_H

#include <lua.h>
#include <stdbool.h>

#include "pool.h"
#include "task.h"

#define POOL_TYPE "tidepool.pool"
#define RESULT_TYPE "tidepool.result"
#define ITERATOR_TYPE "tidepool.iterator"
#define ERROR_TYPE "tidepool.error" /* registry: metatable of error objects */

typedef struct Job Job;

typedef struct PoolBox {
  Pool *pool;    /* NULL: collected */
  Runner runner; /* serial mode */
  Job *feeding;  /* jobs with input left, a list */
  uint64_t last_job;
  uint32_t last_key;   /* of POOL_JOBS */
  uint32_t *spare_key; /* free again, the last used one on top */
  uint32_t n_spare, spare_room;
  uint32_t n_functions;    /* in the cache of definitions */
  const void *straight;    /* address of the value at POOL_STRAIGHT, or NULL */
  Definition *straight_fn; /* its definition, in the cache */
  uint32_t retries;        /* of a call that says nothing */
  uint32_t unpumped;       /* calls since the pool was looked at */
  int pid;                 /* of the process that made it */
  bool failed; /* its jobs were told that it is terminated or broken */
} PoolBox;

/* User values of a pool. */
enum {
  POOL_JOBS = 1,  /* key -> unfinished job */
  POOL_ITERATORS, /* id -> imap's, weak: they belong to their user */
  POOL_FUNCTIONS, /* definition's text -> Definition */
  POOL_STRAIGHT,  /* a function that is known for ever */
  POOL_NAME,
  POOL_REASON, /* why it ended */
  POOL_VALUES = POOL_REASON
};

typedef enum JobKind {
  JOB_APPLY,
  JOB_MAP,
  JOB_ORDERED,  /* imap */
  JOB_UNORDERED /* imap_unordered */
} JobKind;

/* Results of an iterator that wait to be taken, as they came. */
typedef struct Block {
  struct Block *next;
  uint64_t first;
  uint32_t count, taken;
  uint32_t worker, attempt;
  int pid;
  bool local;   /* one failure, made here: it is in JOB_ERRORS */
  bool decoded; /* one value: it is in JOB_RESULTS, and no bytes are here */
  bool read;    /* its bytes are being decoded, or this was broken off */
  size_t size, at;
  uint8_t bytes[];
} Block;

/* What flows into a job and out of it. */
typedef struct Flow {
  uint64_t lowest_failed;
  Job *next_feeding;
  uint32_t chunksize; /* 0: by measured time */
  uint32_t unpumped;  /* items taken since the pool was looked at */
  uint64_t window;    /* items; 0: by measured time */
  uint64_t window_bytes;
  bool auto_bytes; /* nobody gave them */
  uint64_t total;  /* UINT64_MAX: not known */
  uint64_t taken;
  double ns_per_item;  /* 0: not measured yet */
  double result_bytes; /* of an item, on the average */
  Draft draft;
  Block *first, **last;
  Block *spared; /* given up while they were decoded */
} Flow;

struct Job {
  PoolBox *box;
  Definition *fn;
  uint64_t id;
  JobKind kind;
  int values; /* apply: so many results */
  uint32_t retries;
  bool bare;  /* an apply of little: it has no flow */
  bool star;  /* items are sequences to unpack */
  bool keep;  /* on_error = "keep" */
  bool async; /* nobody is waiting: feed it all */
  bool exhausted, drafting, linked;
  bool dropped; /* failed: nothing more is begun */
  bool done;
  bool cut_short; /* the pool ended before its input did */
  bool hooked;    /* has JOB_HOOKS */
  bool fatal;     /* has JOB_FATAL */
  uint64_t fed, settled, failed;
  uint64_t chunks, bytes; /* in flight or waiting to be taken */
  Flow flow[];            /* one, if it is not bare */
};

/* User values of a job. A bare one has its pool, and then its result there. */
enum {
  JOB_POOL = 1,
  JOB_BARE = JOB_POOL, /* that many has a bare one */
  JOB_LABEL,           /* the function's name for people */
  JOB_RESULTS, /* map: columns; apply: a value or a table of values; or else its
               ** error, or why it ended: it has no more than this */
  JOB_HOOKS,   /* {callback =, error_callback =, progress =} or nil */
  JOB_ERRORS,  /* index -> error object */
  JOB_FATAL,   /* an error: of the input, or of the pool's end */
  JOB_SOURCE,
  JOB_VALUES = JOB_SOURCE
};

/* Finished chunks on their way into their jobs. */
typedef struct Settling {
  PoolBox *box;
  const Job *taker; /* or NULL: see pool_pump_for */
  Finished finished;
  enum {
    SETTLING_NOTHING,
    SETTLING_BEGUN, /* `finished` is held */
    SETTLING_STORES,
    SETTLING_STORED
  } stage;
  uint32_t item; /* of the chunk, from 0 */
  size_t at;     /* of its results */
  bool any;      /* was settled */
} Settling;

/* ---- lua_pool.c ---- */
PoolBox *check_pool(lua_State *L, int idx);
/* An id is unlike any other; in it is the key of a job of POOL_JOBS, which is
** used again, so that this list stays as short as can be; 0: of the others. */
enum { KEY_BITS = 28 };
static inline lua_Integer job_key(uint64_t id) {
  return (lua_Integer)(id & (((uint64_t)1 << KEY_BITS) - 1));
}
/* Pushes job `id` of the pool at `idx`, or nil; returns the type. */
int pool_push_job(lua_State *L, int idx, uint64_t id);
/* Collects, settles, feeds; never sleeps. The pool is at `idx`. True: some
** chunk was settled, or the pool's jobs have ended. */
bool pool_pump(lua_State *L, int idx);
/* The same, but when the iterator `taker` has a long string to take, the
** chunks behind it wait where they lie: it is taken while it is young. */
bool pool_pump_for(lua_State *L, int idx, const Job *taker);
/* Pumps; when nothing came of it sleeps until something happened, but not
** beyond the deadline (false then). A signal lets Lua's hooks run; they may
** raise, and then the job at `cancelled` is abandoned. */
typedef struct Wait {
  uint32_t enough;   /* chunks to be finished before it is worth to wake up */
  uint64_t deadline; /* UINT64_MAX: none */
  int cancelled;     /* its place on the stack; 0: none */
  const Job *taker;  /* as for pool_pump_for */
} Wait;
bool pump_and_wait(lua_State *L, int idx, const Wait *wait);
/* Seconds at idx become a moment in ns; nil and infinity: UINT64_MAX. */
uint64_t check_deadline(lua_State *L, int idx);
/* An interrupt is raised now; the job at this index, if not 0, is given up. */
void let_hooks_run(lua_State *L, int cancelled);
int raise_timeout(lua_State *L, const char *what);
void open_pools(lua_State *L); /* adds to the table on top */

/* ---- lua_start.c ---- */
int core_known(lua_State *L);
int core_straight(lua_State *L);
int core_map(lua_State *L); /* (pool, fn, label, source, opts) */

/* ---- lua_feed.c ---- */
void job_link(Job *j);
void job_unlink(Job *j);
bool job_feed(lua_State *L, int job); /* did it submit anything? */
/* The sequence on top becomes its elements; their number, -1: no sequence. */
int job_unpack(lua_State *L);
/* The n values on top become a frame of the draft, and are popped. On failure
** an error object is left instead. */
bool job_put(lua_State *L, Job *j, int n);
/* The draft is a chunk of n items, the first of which has that index. */
void job_submit(lua_State *L, Job *j, uint64_t first, uint32_t n);

/* ---- lua_job.c ---- */
/* All that has finished in the pool at index `pool`, and is given back to it;
** first, if it is already begun, what `s` holds. */
void job_settle_all(lua_State *L, int pool, Settling *s);
/* Without memory: the end of the job whose chunk is held, with the error on
** top of the stack. Raises it when there is none. */
void job_end_held(lua_State *L, int pool, Settling *s);
/* Item `index` failed with the error object on top of the stack (popped). */
void job_fail(lua_State *L, int job, uint64_t index);
void job_check_done(lua_State *L, int job);
void job_forget(lua_State *L, int job); /* its pool lists it no more */
/* The error on top of the stack is an interrupt, if the hook was another one
** before the call that raised it: it will be raised again. */
bool job_put_off_interrupt(lua_State *L, lua_Hook before);
/* What get() raises when no item failed: on top of the stack, popped. */
void job_set_fatal(lua_State *L, int job);
/* Ends it with the error value on top of the stack (popped). */
void job_end(lua_State *L, int job);
/* Pushes how a process ended, for people, from its wait status. */
const char *push_end(lua_State *L, int why);
/* Pushes an error object: kind, message; the rest is for the caller to set. */
void push_error(lua_State *L, const char *kind, const char *message);
/* {kind, message, traceback, value} from a failure frame's values on top. */
void wrap_failure(lua_State *L);
/* Pushes column k of the results at `results`, made when first needed; the
** job is at results - 1. */
void job_push_column(lua_State *L, int results, int k);
int push_frame(lua_State *L, const uint8_t *bytes, size_t size, size_t *used);
void job_queue_local(lua_State *L, Job *j, uint64_t index);
bool job_push_error(lua_State *L, int job);  /* false: there is none */
int job_push_results(lua_State *L, int job); /* how many */
void job_push_label(lua_State *L, int job);
void set_origin(lua_State *L, int error, int job, uint64_t index,
                const Finished *f);

/* ---- lua_look.c ---- */
/* (pool): {state =, name =, busy =, size =, jobs = {{kind =, ...} ...}}, or
** nothing once it has ended. */
int core_look(lua_State *L);

/* ---- lua_result.c ---- */
void open_results(lua_State *L); /* adds to the table on top */
/* A job userdata with so many user values, listed in its pool (at 1); not yet
** fed. `type` is its metatable's index, or 0. */
Job *new_job(lua_State *L, JobKind kind, int values, int type);
/* Waits for the job at 1, which is given up if that is interrupted. */
int job_finish(lua_State *L);
/* The next block whose item may be taken now, or NULL. */
Block *job_ready_block(const Job *j);
/* Its user is gone: what waits is taken back, what runs is dropped. */
void job_abandon(lua_State *L, int job);
void job_free_blocks(Job *j);

#endif
