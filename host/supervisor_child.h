/*
** supervisor_child.h - what the nursery forks.
*/
#ifndef SUPERVISOR_CHILD_H
#define SUPERVISOR_CHILD_H

#include "supervisor.h"

/* Descriptors that come with a request, in this order; -1 cannot be sent, so
** closed standard files are /dev/null by then. */
enum {
  FD_CONTROL,
  FD_ARGS,
  FD_RESULTS,
  FD_EVENT,
  FD_PARENT,
  FD_OUT,
  FD_ERR,
  FD_CWD,
  SUPERVISOR_FDS
};

typedef struct SupervisorStart {
  Brief brief;
  int fds[SUPERVISOR_FDS];
  int host_fd; /* readable when the parent has ended, or -1 */
  WorkerMain *child;
  void *prepared;     /* by the nursery, or NULL */
  const Table *table; /* already mapped (no nursery), or NULL */
} SupervisorStart;

void supervisor_run(const SupervisorStart *start); /* does not return */

#endif
