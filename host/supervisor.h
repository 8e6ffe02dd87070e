/*
** supervisor.h - birth, death and rebirth of workers.
*/
#ifndef SUPERVISOR_H
#define SUPERVISOR_H

#include "table.h"

enum { BRIEF_DIGESTS = 256 };

/* What a pool is made of, for the processes that serve it. */
typedef struct Brief {
  TableShape shape;
  uint64_t options_bytes; /* at the bottom of ARGS: the pool's options */
  uint64_t environ_bytes; /* behind them */
  uint32_t depth;         /* of its workers: 1, or more in a worker's pool */
  uint64_t max_items;     /* that one worker runs; 0: no limit */
  char digests[BRIEF_DIGESTS]; /* names to load before the first fork */
} Brief;

/*
** A worker's life.  What `prepare` returns (NULL: it failed) is inherited by
** the processes forked afterwards; `run` gets it and does not return.
** `generation` counts from 1.
*/
typedef const struct WorkerMain {
  void *(*prepare)(void);
  void (*run)(void *prepared, Table *t, const Brief *brief, uint32_t worker,
              uint32_t generation);
} WorkerMain;

/*
** The nursery: a small process, forked when the module is loaded, that forks
** supervisors on request.  `child` is what workers run.
*/
typedef struct Nursery {
  int fd, pid; /* -1, 0: none */
  int owner;   /* the process that may close it */
  WorkerMain *child;
} Nursery;

int nursery_open(Nursery *n, WorkerMain *child);
void nursery_close(Nursery *n);
/* The next pool's workers will use that digest: it is loaded before. */
void nursery_expect(const Nursery *n, const char *digest);

/* The parent's end of a supervisor. */
typedef struct Supervisor {
  int fd;   /* readable when it has something to say, or is gone */
  int pid;  /* our own child (no nursery), or 0 */
  int peer; /* its process number */
} Supervisor;

/* Asks for one, which starts while its caller goes on. */
int supervisor_call(Supervisor *s, Nursery *n, const Table *t,
                    const Brief *brief);
/* The one that was called: returns when all workers are forked; -1 with errno
** and none is left. */
int supervisor_open(Supervisor *s, Nursery *n, const Table *t,
                    const Brief *brief);
void supervisor_look(const Supervisor *s); /* at the table's stop word */
bool supervisor_is_gone(const Supervisor *s);
void supervisor_close(Supervisor *s);

#endif
