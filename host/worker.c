/*
** worker.c - the life of a worker: claim, run, finish, sleep.
** Runs in: worker.  Owns: its Lua state and its window.  Never: its parent.
*/
#include "worker.h"

#include <stdio.h>

#include "buf.h"
#include "sys.h"
#include "task.h"

enum { EXIT_FAILED_START = 70, STDIO_BYTES = 1 << 16 };

typedef struct Worker {
  Runner *runner;
  Table *table;
  uint32_t me, pid;
  Slot *slot;      /* of the task */
  uint64_t now_ns; /* the end of the last task, 0: it has slept since */
  Window window;
  Buf out;
} Worker;

/* Whole lines, each in one write. */
static void set_up_stdio(void) {
  static char out[STDIO_BYTES], err[STDIO_BYTES];
  setvbuf(stdout, out, _IOLBF, sizeof out);
  setvbuf(stderr, err, _IOLBF, sizeof err);
}

/* What a worker before us left in the window, and is not collected yet. */
static void adopt_window(Worker *w, const Brief *brief) {
  Table *t = w->table;
  uint64_t from = table_collected(t, w->me), to = table_published(t, w->me);
  window_init(&w->window, table_window(t, w->me), brief->shape.window_bytes,
              brief->shape.soft_bytes);
  w->window.oldest = w->window.next = to;
  if (to - from > WINDOW_BLOCKS)
    from = to - WINDOW_BLOCKS;
  for (uint64_t number = from; number < to; number++) {
    size_t at, bytes;
    table_waiting_block(t, w->me, number, &at, &bytes);
    if (number == from)
      w->window.oldest = w->window.next = from;
    window_adopt(&w->window, number, at, bytes);
  }
  window_free(&w->window, from);
}

static void set_result_at(Worker *w) {
  atomic_store_explicit(&w->slot->result_at, window_offset(&w->window, &w->out),
                        memory_order_release);
}

/* Nothing fits any more.  While no item is finished the results may begin
** elsewhere; else, once all is collected, the whole window is ours. */
static int widen(Runner *r) {
  Worker *w = r->owner;
  if (w->slot->result_bytes == 0 && window_move(&w->window, &w->out)) {
    set_result_at(w);
    return 0;
  }
  if (w->window.limit == w->window.bytes)
    return -1;
  table_wait_collected(w->table, w->me, w->window.next);
  window_free(&w->window, table_collected(w->table, w->me));
  if (!window_is_empty(&w->window))
    return -1; /* told to stop: what waits is not ours yet */
  window_widen(&w->window);
  return 0;
}

static void fill_task(const Worker *w, const Slot *s, Task *task) {
  const Table *t = w->table;
  size_t room = t->shape.args_bytes;
  *task = (Task){.fn = s->fn,
                 .definition_bytes = s->fn_bytes,
                 .args_bytes = s->args_bytes,
                 .job = s->job,
                 .first = s->first,
                 .count = s->count,
                 .attempt = s->attempt,
                 .stops = s->stops != 0};
  size_t fn_at = s->fn_at, args_at = s->args_at;
  if (fn_at > room || task->definition_bytes > room - fn_at)
    fn_at = task->definition_bytes = 0;
  if (args_at > room || task->args_bytes > room - args_at)
    args_at = task->args_bytes = 0;
  task->definition = t->args.base + fn_at;
  task->args = t->args.base + args_at;
}

static void run_slot(Worker *w, uint32_t i, uint64_t generation) {
  Table *t = w->table;
  Slot *s = &t->slot[i];
  Task task;
  uint64_t begin_ns = w->now_ns != 0 ? w->now_ns : sys_now_ns();
  window_free(&w->window, table_collected(t, w->me));
  window_open(&w->window, &w->out);
  w->slot = s;
  set_result_at(w);
  s->pid = w->pid;
  fill_task(w, s, &task);
  runner_run(w->runner, &task, &w->out,
             (TaskMeter){&s->cut, &s->progress, &s->result_bytes});
  window_commit(&w->window, &w->out);
  w->now_ns = sys_now_ns();
  s->busy_ns = w->now_ns - begin_ns;
  if (!table_finish(t, w->me, i, generation))
    sys_exit(EXIT_FAILED_START); /* a task closed our way to be heard */
}

static void keep_some_unread_free(Worker *w) {
  uint64_t published = table_published(w->table, w->me);
  if (published - table_collected(w->table, w->me) < TABLE_UNREAD)
    return;
  table_wait_collected(w->table, w->me, published - TABLE_UNREAD + 1);
  w->now_ns = 0;
}

static void serve(Worker *w) {
  uint32_t slot;
  uint64_t generation;
  while (w->runner->items_left > 0) {
    keep_some_unread_free(w);
    if (table_claim(w->table, w->me, &slot, &generation)) {
      run_slot(w, slot, generation);
      continue;
    }
    if (table_stopping(w->table) != STOP_NOT)
      return;
    table_sleep(w->table, w->me);
    w->now_ns = 0;
  }
}

static void start(Worker *w, const Brief *brief) {
  Buf failure;
  buf_init(&failure);
  if (runner_start(w->runner, w->table->args.base, brief->options_bytes,
                   &failure) == 0)
    return;
  table_fail_start(w->table, failure.base, failure.len);
  table_set_phase(w->table, w->me, PHASE_FAILED);
  fflush(NULL);
  sys_exit(EXIT_FAILED_START);
}

void *worker_prepare(lua_CFunction module) {
  set_up_stdio();
  return runner_new(module);
}

static void take_brief(Worker *w, const Brief *brief, uint32_t generation) {
  Runner *r = w->runner;
  r->owner = w;
  r->widen = widen;
  r->most_bytes = brief->shape.window_bytes;
  r->number = w->me + 1;
  r->generation = generation;
  r->depth = brief->depth;
  r->items_left = brief->max_items > 0 ? brief->max_items : UINT64_MAX;
}

void worker_run(void *runner, Table *t, const Brief *brief, uint32_t me,
                uint32_t generation) {
  Worker w; /* the window's list is large, and written when it is used */
  if (runner == NULL)
    sys_exit(EXIT_FAILED_START);
  w.runner = runner;
  w.table = t;
  w.me = me;
  w.now_ns = 0;
  w.pid = (uint32_t)table_pid(t, me);
  adopt_window(&w, brief);
  take_brief(&w, brief, generation);
  start(&w, brief);
  table_set_phase(t, me, PHASE_READY);
  serve(&w);
  if (table_stopping(t) == STOP_NOW)
    sys_exit(0);
  table_set_phase(t, me, PHASE_LEAVING);
  runner_leave(w.runner);
}
