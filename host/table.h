/*
** table.h - the slot table: how tasks travel between processes.
** The protocol and its laws stand at the top of table.c.
*/
#ifndef TABLE_H
#define TABLE_H

#include "arena.h"
#include "sys.h"
#include "window.h"

enum {
  TABLE_SLOTS = 1 << 14,
  TABLE_UNREAD = WINDOW_BLOCKS, /* completions a worker may have unread */
  TABLE_MAX_WORKERS = 65535,
  TABLE_ERROR_BYTES = 4096
};

typedef enum SlotState {
  SLOT_FREE,
  SLOT_READY,
  SLOT_CLAIMED,
  SLOT_DONE,
  SLOT_LOST
} SlotState;

typedef enum StopKind { STOP_NOT, STOP_DRAINED, STOP_NOW } StopKind;

typedef enum WorkerPhase {
  PHASE_STARTING,
  PHASE_READY,
  PHASE_LEAVING, /* in an orderly way: recycled or stopped */
  PHASE_FAILED   /* its script or initializer raised */
} WorkerPhase;

#define TABLE_LINE _Alignas(128)

/* One task: a chunk of consecutive items of one job. */
typedef struct Slot {
  TABLE_LINE _Atomic uint64_t word; /* state:8 | owner:16 | generation:40 */
  /* the owner writes, before DONE: in the line that it has since the claim */
  _Atomic uint64_t result_bytes;
  _Atomic uint64_t result_at; /* replacements of others look at it as well */
  uint64_t busy_ns;
  _Atomic uint32_t progress; /* 2 * items finished + 1 while one runs */
  uint32_t pid;
  /* the supervisor writes, before LOST */
  uint32_t why; /* wait status */
  /* the parent writes at any time: leave the rest */
  _Atomic uint32_t cut;
  /* the parent writes, before READY */
  uint32_t stops; /* at the first failure */
  uint32_t quick; /* it takes less time than to wake somebody */
  uint32_t count, attempt;
  uint64_t fn, fn_at, fn_bytes; /* number and definition of the function */
  uint64_t args_at, args_bytes;
  uint64_t job, first; /* the first item's index, from 1 */
} Slot;

typedef struct TableShape {
  uint32_t workers;
  uint64_t control_bytes, args_bytes, window_bytes, soft_bytes;
} TableShape;

typedef struct TableHead TableHead;
typedef struct Lane Lane;

/* A process's view. Sizes are private copies: shared words bound nothing. */
typedef struct Table {
  TableShape shape;
  Shared region, args; /* control, ARGS (its part), a window per worker */
  uint8_t *results;
  /* bitmaps of workers */
  _Atomic uint64_t *idle;   /* asleep */
  _Atomic uint64_t *done;   /* with completions */
  _Atomic uint64_t *awake;  /* looking, not asleep */
  _Atomic uint64_t *dozing; /* asleep for a moment */
  TableHead *head;
  _Atomic uint64_t *cell;
  Lane *lane;
  _Atomic uint64_t *out; /* 2 * TABLE_UNREAD for each worker */
  Slot *slot;
  int event_fd; /* wakes the parent */
  /* the parent's own */
  uint64_t *generation;     /* of each slot, never read from shared memory; odd
                            ** from submit until its one completion is taken */
  uint32_t *spare;          /* slots free again, the last used one on top */
  uint32_t n_spare, n_used; /* slots from n_used on have never been used */
  uint64_t head_seen;       /* of the ring, some time ago */
  uint64_t *seen;           /* completions taken, per worker */
  uint64_t *given;          /* of these, the worker knows that they are free */
  uint32_t *held;           /* of these, not yet released */
  uint64_t *due;            /* bitmap: workers whose ring may hold more */
  uint32_t turn;            /* the worker to look at first */
  bool holding;             /* more will be submitted at once */
  uint32_t unannounced;     /* submitted meanwhile */
  uint32_t row;             /* submitted since it collected something */
  /* parent and workers, each its own */
  const Slot *latest;          /* submitted; claimed */
  const uint8_t *latest_bytes; /* collected results; arguments */
  uint64_t spin_ns; /* how long to look before sleeping; 0: not at all */
  uint32_t naps;    /* sleeps since it did not pay to look */
  bool dozes;       /* the last task was a quick one */
} Table;

typedef struct Completion {
  uint32_t slot;
  uint32_t worker;      /* from 0 */
  SlotState state;      /* SLOT_DONE or SLOT_LOST */
  const uint8_t *bytes; /* results of finished items; valid until release */
  size_t size;
  uint32_t finished; /* items whose results are in `bytes` */
  bool running;      /* lost: the next item had been started */
} Completion;

/* ---- any process ---- */
uint8_t *table_window(const Table *t, uint32_t worker);
void table_stop(Table *t, StopKind kind); /* and wakes every sleeper */
StopKind table_stopping(const Table *t);
void table_wake_parent(Table *t);
void table_wake_idle(Table *t); /* as many as there are unclaimed tasks */
void table_remind(Table *t);    /* the same, unless somebody rests */
/* The pool cannot go on: its workers die at start, the last one of `why`. */
void table_break(Table *t, int why);
int table_broken_why(const Table *t);
bool table_is_broken(const Table *t);

/* ---- parent ---- */
int table_new(Table *t, TableShape shape);
void table_free(Table *t);
/* Processors that the pool's processes share; until then nobody spins. */
void table_set_cpus(Table *t, uint32_t cpus);
bool table_acquire(Table *t, uint32_t *slot); /* false: no room just now */
void table_submit(Table *t, uint32_t slot);
/* While it holds, small tasks are submitted some at a time before anybody is
** woken for them, who would only take the processor from the parent. */
void table_hold(Table *t, bool holding);
bool table_revoke(Table *t, uint32_t slot); /* false: it was claimed */
SlotState table_state(const Table *t, uint32_t slot);
/* Nobody wants its results: whoever still runs it after a while may be killed.
** False: nobody runs it. */
bool table_doom(Table *t, uint32_t slot);
bool table_collect(Table *t, Completion *c);
bool table_has_completions(const Table *t);
/* Looks for a while, if a processor is free, before the parent sleeps. */
bool table_spin_for_completions(Table *t);
int table_pid(const Table *t, uint32_t worker); /* a hint: may be anything */
/* What became of a task that cannot change any more (all are dead). */
void table_inspect(const Table *t, uint32_t slot, Completion *c);
void table_release(Table *t, const Completion *c);
uint64_t table_unclaimed(const Table *t); /* at most so many tasks */
/* Asks for a kick after n completions, or when a worker runs dry. */
void table_arm(Table *t, uint32_t n);
size_t table_start_error(const Table *t, char *to, size_t room);

/* ---- worker ---- */
int table_attach(Table *t, TableShape shape, int fd, int event_fd);
bool table_claim(Table *t, uint32_t me, uint32_t *slot, uint64_t *generation);
bool table_finish(Table *t, uint32_t me, uint32_t slot, uint64_t generation);
void table_sleep(Table *t, uint32_t me); /* until there may be work */
uint64_t table_collected(const Table *t, uint32_t me);
uint64_t table_published(const Table *t, uint32_t me);
void table_wait_collected(Table *t, uint32_t me, uint64_t number);
/* The block of completion `number`, empty when the parent is done with it. */
void table_waiting_block(const Table *t, uint32_t me, uint64_t number,
                         size_t *at, size_t *bytes);
void table_set_pid(Table *t, uint32_t me, int pid); /* before any claim */
void table_set_phase(Table *t, uint32_t me, WorkerPhase phase);
void table_fail_start(Table *t, const void *error, size_t bytes);

/* ---- supervisor ---- */
void table_reset_lane(Table *t, uint32_t worker);
WorkerPhase table_phase(const Table *t, uint32_t worker);
bool table_repair(Table *t, uint32_t worker, int why);  /* held a task? */
uint64_t table_doomed(const Table *t, uint32_t worker); /* a task, 0: none */
bool table_is_at(const Table *t, uint32_t worker, uint64_t task);
/* It was stopped: no work is brought to it while others sleep. */
void table_pass_over(Table *t, uint32_t worker);

#endif
