/*
** supervisor_child.h - what the nursery forks.
*/
#ifndef SUPERVISOR_CHILD_H
#define SUPERVISOR_CHILD_H

#include "supervisor.h"

/* Descriptors that come with a request, in this order; -1 cannot be sent, so
** closed standard files are /dev/null by then. */
enum { FD_TABLE, FD_EVENT, FD_PARENT, FD_OUT, FD_ERR, FD_CWD, SUPERVISOR_FDS };

typedef struct SupervisorStart {
  Brief brief;
  int fds[SUPERVISOR_FDS];
  int host_fd;  /* readable when the parent has ended, or -1 */
  int requests; /* brief and fds come from here; or -1: they are there */
  int lifeline; /* the nursery sees it close: it needs a new spare; or -1 */
  int nursery;  /* whose spare it is: dies with it until it has a request */
  WorkerMain *child;
  void *prepared;     /* by the nursery, or NULL */
  const Table *table; /* already mapped (no nursery), or NULL */
} SupervisorStart;

/* Heeds notices (nursery_expect). True: brief and fds are there. False with
** EAGAIN (none yet), EPIPE (nobody asks any more) or EMFILE (it is lost). */
bool supervisor_take_request(SupervisorStart *start);
void supervisor_run(SupervisorStart *start); /* does not return */

#endif
