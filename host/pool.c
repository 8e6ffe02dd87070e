/*
** pool.c - the parent's half of a pool: chunks in, finished chunks out.
** Runs in: parent.  Owns: the table, the argument arena, the backlog.
** Never: Lua.
**
** A chunk is in one of two places: in a slot (then `shadow` has it), or in
** the backlog, first come first served, until a slot and room in ARGS are
** free.  Nothing about a chunk is ever read back from shared memory.
*/
#include "pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "frame.h"
#include "sys.h"

enum { TAG_EVENT, TAG_SUPERVISOR };
static const uint64_t TWICE_NS = 5000000000; /* two deaths in this: broken */
static const size_t GIB = (size_t)1 << 30;

typedef struct Waiting {
  struct Waiting *next;
  Chunk chunk;
} Waiting;

/* A finished chunk whose supervisor is gone; its results are on the heap. */
typedef struct Orphan {
  struct Orphan *next;
  Finished finished;
  uint8_t *bytes;
} Orphan;

struct Pool {
  Table table;
  Arena arena;
  Supervisor supervisor;
  Nursery *nursery;
  Brief brief;
  PoolState state;
  bool ended;
  int broken_why;
  int poll_fd, event_fd;  /* serial: event_fd is ours; else the table's */
  Chunk *shadow;          /* of each used slot; count 0: not in use */
  Waiting *first, **last; /* the backlog */
  Orphan *orphans;
  uint32_t holding; /* finished chunks between pool_next and pool_settle */
  Definition *definitions;
  Draft *drafts; /* open: their blocks have to survive the table */
  uint64_t last_number, outstanding, restarted_ns;
  uint8_t *options; /* kept for another supervisor */
};

bool pool_is_serial(const Pool *p) {
  return p->brief.shape.workers == 0;
}

/* Without one: serial, released, or no second one could be made. */
static bool has_table(const Pool *p) {
  return p->table.head != NULL;
}

static uint32_t slots(const Pool *p) {
  return p->shadow == NULL || !has_table(p) ? 0 : p->table.n_used;
}

/* ---- making ---- */

static int place(Pool *p, const void *bytes, size_t n, size_t *at,
                 size_t *room) {
  if (arena_alloc(&p->arena, n, at, room) != 0)
    return -1;
  if (n > 0)
    memcpy(p->table.args.base + *at, bytes, n);
  return 0;
}

/* Options and environment lie at the bottom of ARGS, where workers look. */
static int write_brief(Pool *p) {
  size_t at, room;
  size_t options = p->brief.options_bytes;
  size_t environ = sys_environ(NULL, 0);
  if (arena_alloc(&p->arena, options + environ + 1, &at, &room) != 0)
    return -1;
  memcpy(p->table.args.base, p->options, options);
  sys_environ((char *)p->table.args.base + options, environ);
  p->brief.environ_bytes = environ;
  return 0;
}

/* TIDEPOOL_SPIN=0: sleep at once, whatever processors are free. */
static bool may_look(void) {
  const char *spin = getenv("TIDEPOOL_SPIN");
  return spin == NULL || strcmp(spin, "0") != 0;
}

/* A table, a supervisor, and the descriptor that tells of both. */
static int start(Pool *p, TableShape shape) {
  if (table_new(&p->table, shape) != 0)
    return -1;
  p->brief.shape = p->table.shape;
  arena_init(&p->arena, p->table.args.base, p->table.args.bytes);
  if (write_brief(p) != 0 ||
      supervisor_call(&p->supervisor, p->nursery, &p->table, &p->brief) != 0)
    return -1;
  if (may_look()) /* counting takes a while, as does what we called */
    table_set_cpus(&p->table, (uint32_t)sys_cpu_count());
  if (supervisor_open(&p->supervisor, p->nursery, &p->table, &p->brief) != 0)
    return -1;
  if (sys_poll_add(p->poll_fd, p->table.event_fd, TAG_EVENT) == 0 &&
      sys_poll_add(p->poll_fd, p->supervisor.fd, TAG_SUPERVISOR) == 0)
    return 0;
  int saved = errno;
  supervisor_close(&p->supervisor);
  errno = saved;
  return -1;
}

static TableShape shape_of(const PoolSpec *spec) {
  const uint64_t most = 16384 * (uint64_t)GIB; /* of address space, for all */
  uint64_t window = 4 * (uint64_t)GIB;
  while (window * spec->processes > most)
    window /= 2;
  uint64_t bytes =
      spec->window_bytes > 0 ? spec->window_bytes : POOL_WINDOW_BYTES;
  uint64_t soft = bytes / spec->processes;
  return (TableShape){.workers = spec->processes,
                      .args_bytes = 16 * (uint64_t)GIB,
                      .window_bytes = window,
                      .soft_bytes = soft < 1 << 20 ? 1 << 20 : soft};
}

static int open_parts(Pool *p, const PoolSpec *spec) {
  p->options = malloc(spec->options_bytes + 1);
  p->poll_fd = sys_poll_new();
  if (p->options == NULL || p->poll_fd < 0)
    return -1;
  memcpy(p->options, spec->options, spec->options_bytes);
  p->brief.options_bytes = spec->options_bytes;
  p->brief.max_items = spec->max_items;
  p->brief.depth = spec->depth;
  if (spec->digests != NULL)
    strncpy(p->brief.digests, spec->digests, BRIEF_DIGESTS - 1);
  if (spec->processes > 0) {
    p->shadow = sys_pages(TABLE_SLOTS * sizeof *p->shadow);
    return p->shadow == NULL ? -1 : start(p, shape_of(spec));
  }
  p->ended = true;
  p->event_fd = sys_event_new();
  return p->event_fd < 0 ? -1 : sys_poll_add(p->poll_fd, p->event_fd, 0);
}

int pool_open(Pool **pool, const PoolSpec *spec, Nursery *nursery) {
  Pool *p = calloc(1, sizeof *p);
  if (p == NULL)
    return -1;
  p->nursery = nursery;
  p->supervisor.fd = p->event_fd = p->table.event_fd = -1;
  p->last = &p->first;
  if (open_parts(p, spec) == 0) {
    *pool = p;
    return 0;
  }
  int saved = errno;
  p->ended = true;
  pool_free(p);
  errno = saved;
  return -1;
}

/* ---- definitions ---- */

Definition *pool_define(Pool *p, const uint8_t *text, size_t bytes,
                        const char *label) {
  Definition *d = calloc(1, sizeof *d);
  size_t label_bytes = strlen(label) + 1;
  uint8_t *copy = malloc(bytes + label_bytes);
  bool placed = d != NULL && copy != NULL;
  if (placed && !pool_is_serial(p))
    placed = place(p, text, bytes, &d->at, &d->room) == 0;
  if (!placed) {
    free(d);
    free(copy);
    return NULL;
  }
  memcpy(copy, text, bytes);
  d->text = copy;
  d->label = memcpy(copy + bytes, label, label_bytes);
  d->bytes = bytes;
  d->number = ++p->last_number;
  d->refs = 1;
  d->next = p->definitions;
  d->self = &p->definitions;
  if (d->next != NULL)
    d->next->self = &d->next;
  p->definitions = d;
  return d;
}

void pool_undefine(Pool *p, Definition *d) {
  if (--d->refs > 0)
    return;
  *d->self = d->next;
  if (d->next != NULL)
    d->next->self = d->self;
  if (d->room > 0)
    arena_free(&p->arena, d->at, d->room);
  free(d->text);
  free(d);
}

/* ---- drafts ---- */

size_t pool_most_bytes(const Pool *p) {
  return pool_is_serial(p) ? SIZE_MAX / 4 : p->table.args.bytes;
}

static void use_block(Draft *d, uint8_t *base, size_t at, size_t room) {
  d->buf.base = base + at;
  d->buf.cap = room;
  d->at = at;
  d->room = room;
}

static int grow_on_heap(Draft *d, size_t cap) {
  bool from_arena = d->room > 0;
  uint8_t *base = realloc(from_arena ? NULL : d->buf.base, cap);
  if (base == NULL)
    return -1;
  if (from_arena)
    memcpy(base, d->buf.base, d->buf.len);
  d->buf.base = base;
  d->buf.cap = cap;
  return 0;
}

/* Larger blocks of ARGS; from the heap when ARGS is full just now. */
static int grow_draft(Buf *b, size_t need) {
  Draft *d = (Draft *)(void *)b;
  Pool *p = b->owner;
  if (need > pool_most_bytes(p) - b->len) {
    errno = EFBIG;
    return -1;
  }
  size_t want = b->len + need, at, room;
  size_t cap = want < b->cap * 2 ? b->cap * 2 : want;
  bool in_arena = d->room > 0 || b->base == NULL;
  if (in_arena && !pool_is_serial(p) &&
      (arena_alloc(&p->arena, cap, &at, &room) == 0 ||
       arena_alloc(&p->arena, want, &at, &room) == 0)) {
    if (b->len > 0)
      memcpy(p->table.args.base + at, b->base, b->len);
    if (d->room > 0)
      arena_free(&p->arena, d->at, d->room);
    use_block(d, p->table.args.base, at, room);
    return 0;
  }
  size_t old_at = d->at, old_room = d->room;
  if (grow_on_heap(d, cap) != 0)
    return -1;
  if (old_room > 0)
    arena_free(&p->arena, old_at, old_room);
  d->room = 0;
  return 0;
}

int pool_begin(Pool *p, Draft *d, size_t guess) {
  *d = (Draft){.buf = {.grow = grow_draft, .owner = p}};
  if (buf_reserve(&d->buf, guess > 0 ? guess : 1) != 0)
    return -1;
  d->next = p->drafts;
  d->self = &p->drafts;
  if (d->next != NULL)
    d->next->self = &d->next;
  p->drafts = d;
  return 0;
}

static void unlink_draft(Draft *d) {
  if (d->self == NULL)
    return;
  *d->self = d->next;
  if (d->next != NULL)
    d->next->self = d->self;
}

/* The table goes: what is being written now goes on on the heap. */
static bool keep_drafts(Pool *p) {
  for (Draft *d = p->drafts; d != NULL; d = d->next) {
    if (d->room > 0 && grow_on_heap(d, d->buf.cap) != 0)
      return false;
    d->room = 0;
  }
  return true;
}

void pool_drop(Pool *p, Draft *d) {
  unlink_draft(d);
  if (d->room > 0)
    arena_free(&p->arena, d->at, d->room);
  else
    free(d->buf.base);
  *d = (Draft){0};
}

/* ---- chunks ---- */

void pool_free_chunk(Pool *p, Chunk *c) {
  if (c->room > 0)
    arena_free(&p->arena, c->at, c->room);
  free(c->heap);
  pool_undefine(p, c->fn);
  *c = (Chunk){0};
  p->outstanding--;
}

static bool is_quick(const Chunk *c) {
  const double most_ns = 5000;
  return c->fn->ns_per_item > 0 && c->fn->ns_per_item * c->count < most_ns;
}

static bool put_in_slot(Pool *p, const Chunk *c) {
  uint32_t i;
  if (c->room == 0 || !table_acquire(&p->table, &i))
    return false;
  Slot *s = &p->table.slot[i];
  p->shadow[i] = *c;
  s->fn = c->fn->number;
  s->fn_at = c->fn->at;
  s->fn_bytes = c->fn->bytes;
  s->args_at = c->at + c->from;
  s->args_bytes = c->bytes;
  s->job = c->job;
  s->first = c->first;
  s->count = c->count;
  s->attempt = c->attempt;
  s->stops = c->stops;
  s->quick = is_quick(c);
  table_submit(&p->table, i);
  return true;
}

static int put_in_backlog(Pool *p, const Chunk *c) {
  Waiting *w = malloc(sizeof *w);
  if (w == NULL)
    return -1;
  *w = (Waiting){.chunk = *c};
  *p->last = w;
  p->last = &w->next;
  if (pool_is_serial(p))
    sys_event_kick(p->event_fd);
  return 0;
}

/* From the heap into ARGS, when there is room at last. */
static bool move_to_arena(Pool *p, Chunk *c) {
  if (c->room > 0)
    return true;
  if (place(p, c->heap + c->from, c->bytes, &c->at, &c->room) != 0)
    return false;
  free(c->heap);
  c->heap = NULL;
  c->from = 0;
  return true;
}

static void flush_backlog(Pool *p) {
  while (p->first != NULL && !pool_is_serial(p)) {
    Waiting *w = p->first;
    if (!move_to_arena(p, &w->chunk) || !put_in_slot(p, &w->chunk))
      return;
    p->first = w->next;
    if (p->first == NULL)
      p->last = &p->first;
    free(w);
  }
}

void pool_hold(Pool *p, bool holding) {
  if (has_table(p))
    table_hold(&p->table, holding);
}

static int submit(Pool *p, Chunk *c) {
  c->fn->refs++;
  p->outstanding++;
  if (p->first == NULL && put_in_slot(p, c))
    return 0;
  if (put_in_backlog(p, c) == 0)
    return 0;
  pool_free_chunk(p, c);
  errno = ENOMEM;
  return -1;
}

int pool_submit(Pool *p, Draft *d, Chunk c) {
  if (d->room > 0) {
    c.at = d->at;
    c.room = arena_trim(&p->arena, d->at, d->room, d->buf.len);
  } else {
    c.heap = d->buf.base;
  }
  c.bytes = d->buf.len;
  unlink_draft(d);
  *d = (Draft){0};
  return submit(p, &c);
}

int pool_submit_bytes(Pool *p, const uint8_t *bytes, size_t n, Chunk c) {
  c.bytes = n;
  if (place(p, bytes, n, &c.at, &c.room) != 0) {
    c.room = 0;
    c.heap = malloc(n);
    if (c.heap == NULL)
      return -1;
    memcpy(c.heap, bytes, n);
  }
  return submit(p, &c);
}

bool pool_serial_next(Pool *p, Chunk *c) {
  Waiting *w = p->first;
  if (w == NULL)
    return false;
  *c = w->chunk;
  p->first = w->next;
  if (p->first == NULL)
    p->last = &p->first;
  free(w);
  return true;
}

/* ---- collecting ---- */

static void measure(Definition *fn, const Finished *f) {
  if (f->result.finished == 0)
    return;
  double now = (double)f->busy_ns / f->result.finished;
  double before = fn->ns_per_item > 0 ? fn->ns_per_item : now;
  fn->ns_per_item = before + (now - before) / 8;
}

static void fill_finished(const Pool *p, Finished *f) {
  const Slot *s = &p->table.slot[f->result.slot];
  f->chunk = p->shadow[f->result.slot];
  f->worker = f->result.worker + 1;
  f->pid = (int)s->pid;
  f->why = (int)s->why;
  f->busy_ns = s->busy_ns;
  if (f->result.finished > f->chunk.count)
    f->result.finished = f->chunk.count;
  measure(f->chunk.fn, f);
}

static bool next_orphan(Pool *p, Finished *f) {
  Orphan *o = p->orphans;
  if (o == NULL)
    return false;
  *f = o->finished;
  f->heap = o->bytes;
  p->orphans = o->next;
  free(o);
  return true;
}

bool pool_has_next(const Pool *p) {
  return has_table(p) && p->state < POOL_TERMINATED &&
         (p->orphans != NULL || table_has_completions(&p->table));
}

bool pool_next(Pool *p, Finished *f) {
  *f = (Finished){0};
  if (!pool_has_next(p))
    return false;
  if (!next_orphan(p, f)) {
    if (!table_collect(&p->table, &f->result))
      return false;
    fill_finished(p, f);
    p->shadow[f->result.slot].count = 0; /* it is the caller's now */
  }
  p->holding++;
  return true;
}

const uint8_t *pool_arguments(const Pool *p, const Chunk *c) {
  return (c->room > 0 ? p->table.args.base + c->at : c->heap) + c->from;
}

static bool run_rest(Pool *p, Chunk c, uint32_t used, uint32_t attempt) {
  size_t skipped = frame_skip(pool_arguments(p, &c), c.bytes, used);
  c.from += skipped;
  c.bytes -= skipped;
  c.first += used;
  c.count -= used;
  c.attempt = attempt;
  if (put_in_slot(p, &c) || put_in_backlog(p, &c) == 0)
    return true;
  pool_free_chunk(p, &c);
  return false;
}

bool pool_settle(Pool *p, const Finished *f, uint32_t used, uint32_t attempt) {
  Chunk c = f->chunk;
  bool kept = true;
  if (f->heap != NULL) {
    free(f->heap);
  } else if (!pool_is_serial(p)) {
    table_release(&p->table, &f->result);
  }
  p->holding -= !pool_is_serial(p);
  if (used < c.count && p->state < POOL_TERMINATED)
    kept = run_rest(p, c, used, attempt);
  else
    pool_free_chunk(p, &c);
  flush_backlog(p);
  return kept;
}

static uint64_t revoke_waiting(Pool *p, uint64_t job) {
  uint64_t items = 0;
  Waiting **at = &p->first;
  while (*at != NULL) {
    Waiting *w = *at;
    if (w->chunk.job != job) {
      at = &w->next;
      continue;
    }
    items += w->chunk.count;
    *at = w->next;
    pool_free_chunk(p, &w->chunk);
    free(w);
  }
  p->last = at;
  return items;
}

uint64_t pool_revoke(Pool *p, uint64_t job) {
  uint64_t items = revoke_waiting(p, job);
  for (uint32_t i = 0; i < slots(p); i++) {
    Chunk *c = &p->shadow[i];
    if (c->count == 0 || c->job != job)
      continue;
    if (table_revoke(&p->table, i)) {
      items += c->count;
      pool_free_chunk(p, c);
    } else {
      atomic_store(&p->table.slot[i].cut, 1); /* begun: leaves its rest */
    }
  }
  return items;
}

void pool_doom(Pool *p, uint64_t job) {
  bool any = false;
  for (uint32_t i = 0; i < slots(p); i++)
    if (p->shadow[i].count > 0 && p->shadow[i].job == job)
      any |= table_doom(&p->table, i);
  if (any)
    supervisor_look(&p->supervisor);
}

uint32_t pool_busy(const Pool *p) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < slots(p); i++)
    n += p->shadow[i].count > 0 && table_state(&p->table, i) == SLOT_CLAIMED;
  return n;
}

bool pool_is_running(const Pool *p, uint64_t job) {
  for (uint32_t i = 0; i < slots(p); i++)
    if (p->shadow[i].count > 0 && p->shadow[i].job == job &&
        table_state(&p->table, i) == SLOT_CLAIMED)
      return true;
  return false;
}

uint64_t pool_outstanding(const Pool *p) {
  return p->outstanding;
}

uint32_t pool_size(const Pool *p) {
  return pool_is_serial(p) ? 1 : p->table.shape.workers;
}

uint64_t pool_unclaimed(const Pool *p) {
  return has_table(p) ? table_unclaimed(&p->table) : 0;
}

uint64_t pool_max_items(const Pool *p) {
  return p->brief.max_items;
}

/* ---- a supervisor that died ---- */

static bool keep_definitions(Pool *p) {
  for (Definition *d = p->definitions; d != NULL; d = d->next)
    if (place(p, d->text, d->bytes, &d->at, &d->room) != 0)
      return false;
  return true;
}

static bool copy_bytes(uint8_t **to, const uint8_t *from, size_t n) {
  *to = malloc(n + 1);
  if (*to != NULL)
    memcpy(*to, from, n);
  return *to != NULL;
}

/* The blocks of chunks in the backlog go with the region, too. */
static bool keep_backlog(Pool *p) {
  for (Waiting *w = p->first; w != NULL; w = w->next) {
    Chunk *c = &w->chunk;
    if (c->room == 0)
      continue;
    if (!copy_bytes(&c->heap, p->table.args.base + c->at + c->from, c->bytes))
      return false;
    c->from = c->room = 0;
  }
  return true;
}

/* A chunk that nobody had begun: it waits again, its arguments on the heap. */
static bool keep_waiting(Pool *p, Chunk *c) {
  Waiting *w = malloc(sizeof *w);
  if (w == NULL)
    return false;
  *w = (Waiting){.chunk = *c};
  *p->last = w;
  p->last = &w->next;
  *c = (Chunk){0};
  return true;
}

/* A chunk that was begun: done, or lost with its worker. */
static bool keep_orphan(Pool *p, uint32_t i) {
  Orphan *o = calloc(1, sizeof *o);
  if (o == NULL)
    return false;
  Completion *r = &o->finished.result;
  table_inspect(&p->table, i, r);
  fill_finished(p, &o->finished);
  if (r->state == SLOT_LOST)
    o->finished.why = sys_why_killed();
  if (!copy_bytes(&o->bytes, r->bytes, r->size)) {
    free(o);
    return false;
  }
  r->bytes = o->bytes;
  o->next = p->orphans;
  p->orphans = o;
  p->shadow[i] = (Chunk){0};
  return true;
}

static bool keep_chunk(Pool *p, uint32_t i) {
  Chunk *c = &p->shadow[i];
  uint8_t *heap;
  if (c->count == 0)
    return true;
  bool begun = !table_revoke(&p->table, i);
  if (!copy_bytes(&heap, p->table.args.base + c->at + c->from, c->bytes))
    return false;
  c->heap = heap;
  c->from = c->room = 0; /* its block goes with the region */
  return begun ? keep_orphan(p, i) : keep_waiting(p, c);
}

static void break_down(Pool *p, int why) {
  p->broken_why = why;
  p->state = POOL_BROKEN;
  p->ended = true;
}

/* A straggler might begin what is about to run again. */
static void await_stragglers(const Pool *p) {
  static const uint64_t patience_ns = 100000000;
  uint64_t until = sys_now_ns() + patience_ns;
  for (uint32_t w = 0; w < p->table.shape.workers; w++)
    sys_await_end(table_pid(&p->table, w), until);
}

/*
** The workers have died with their supervisor, or are about to: new regions,
** so that stragglers write where nobody reads.  What was not begun runs again,
** what was done is delivered, what was begun is lost.
*/
static void restart(Pool *p) {
  uint64_t now = sys_now_ns();
  bool kept = p->restarted_ns == 0 || now - p->restarted_ns >= TWICE_NS;
  p->restarted_ns = now;
  await_stragglers(p);
  kept = kept && keep_drafts(p) && keep_backlog(p);
  for (uint32_t i = 0; i < p->table.n_used && kept; i++)
    kept = keep_chunk(p, i);
  if (!kept) {
    break_down(p, -1);
    return;
  }
  TableShape shape = p->table.shape;
  sys_poll_remove(p->poll_fd, p->table.event_fd);
  arena_clear(&p->arena);
  table_free(&p->table);
  if (start(p, shape) != 0 || !keep_definitions(p))
    break_down(p, -1);
  else
    flush_backlog(p);
}

/* ---- waiting ---- */

bool pool_is_stuck(const Pool *p) {
  return p->holding > 0 && !p->ended && p->state < POOL_DRAINED &&
         supervisor_is_gone(&p->supervisor);
}

static void hear_supervisor(Pool *p) {
  bool ends = table_is_broken(&p->table) || p->state >= POOL_DRAINED;
  if (p->ended || !supervisor_is_gone(&p->supervisor))
    return;
  if (!ends && p->holding > 0)
    return; /* what is held lies in the old regions */
  sys_poll_remove(p->poll_fd, p->supervisor.fd);
  supervisor_close(&p->supervisor);
  if (table_is_broken(&p->table))
    break_down(p, table_broken_why(&p->table));
  else if (p->state >= POOL_DRAINED)
    p->ended = true;
  else
    restart(p);
}

static void take_news(Pool *p, const uint32_t *tags, int n) {
  for (int i = 0; i < n; i++) {
    if (tags[i] == TAG_EVENT)
      sys_event_clear(pool_is_serial(p) ? p->event_fd : p->table.event_fd);
    else
      hear_supervisor(p);
  }
  if (has_table(p) && table_is_broken(&p->table)) {
    p->broken_why = table_broken_why(&p->table);
    p->state = POOL_BROKEN;
  }
}

PoolWait pool_wait(Pool *p, uint32_t enough, int64_t timeout_ns) {
  uint32_t tags[SYS_MAX_EVENTS];
  if (pool_is_released(p))
    return WAIT_WOKEN;
  flush_backlog(p);
  pool_hold(p, false); /* an error may have gone past who held */
  if (!p->ended && p->state < POOL_TERMINATED) {
    if (timeout_ns != 0 && table_spin_for_completions(&p->table))
      return WAIT_WOKEN;
    table_arm(&p->table, enough);
    if (p->orphans != NULL || table_has_completions(&p->table))
      return WAIT_WOKEN;
  }
  int n = sys_poll_wait(p->poll_fd, tags, timeout_ns);
  if (n < 0)
    return WAIT_SIGNAL;
  take_news(p, tags, n);
  if (n == 0 && has_table(p)) /* who was to look for work may be held up */
    table_remind(&p->table);
  return n == 0 ? WAIT_TIMEOUT : WAIT_WOKEN;
}

void pool_poll(Pool *p) {
  uint32_t tags[SYS_MAX_EVENTS];
  if (pool_is_released(p))
    return;
  int n = sys_poll_wait(p->poll_fd, tags, 0);
  take_news(p, tags, n);
  flush_backlog(p);
  if (p->ended)
    return;
  table_arm(&p->table, 1);
  if (p->orphans != NULL || table_has_completions(&p->table))
    table_wake_parent(&p->table); /* it came before we were armed */
}

int pool_fd(const Pool *p) {
  return p->poll_fd;
}

/* ---- ending ---- */

static void forget_all(Pool *p) {
  for (uint32_t i = 0; i < slots(p); i++)
    if (p->shadow[i].count > 0)
      pool_free_chunk(p, &p->shadow[i]);
  for (Chunk c; pool_serial_next(p, &c);)
    pool_free_chunk(p, &c);
  for (Finished f; next_orphan(p, &f); pool_free_chunk(p, &f.chunk))
    free(f.heap);
}

void pool_release(Pool *p) {
  forget_all(p);
  while (has_table(p) && !keep_drafts(p))
    pool_drop(p, p->drafts);
  if (p->supervisor.fd >= 0)
    supervisor_close(&p->supervisor);
  for (Definition *d = p->definitions; d != NULL; d = d->next)
    d->room = 0;
  arena_clear(&p->arena);
  table_free(&p->table);
  sys_close(p->event_fd);
  sys_close(p->poll_fd);
  sys_free_pages(p->shadow, TABLE_SLOTS * sizeof *p->shadow);
  p->shadow = NULL;
  p->event_fd = p->poll_fd = -1;
  p->ended = true;
}

bool pool_is_held(const Pool *p) {
  return p->holding > 0;
}

bool pool_is_released(const Pool *p) {
  return p->poll_fd < 0;
}

void pool_free(Pool *p) {
  pool_release(p);
  while (p->drafts != NULL)
    pool_drop(p, p->drafts);
  while (p->definitions != NULL) {
    p->definitions->refs = 1;
    pool_undefine(p, p->definitions);
  }
  free(p->options);
  free(p);
}

PoolState pool_state(const Pool *p) {
  return p->state;
}

void pool_mark_closed(Pool *p) {
  if (p->state == POOL_OPEN)
    p->state = POOL_CLOSED;
}

void pool_close(Pool *p) {
  pool_mark_closed(p);
  if (p->state != POOL_CLOSED || p->outstanding > 0)
    return;
  p->state = POOL_DRAINED;
  if (!p->ended) {
    table_stop(&p->table, STOP_DRAINED);
    supervisor_look(&p->supervisor);
  }
}

void pool_terminate(Pool *p) {
  if (p->state >= POOL_TERMINATED)
    return;
  p->state = POOL_TERMINATED;
  forget_all(p);
  if (!p->ended) {
    table_stop(&p->table, STOP_NOW);
    supervisor_look(&p->supervisor);
  }
}

bool pool_is_ended(const Pool *p) {
  return p->ended;
}

int pool_broken_why(const Pool *p) {
  return p->broken_why;
}

size_t pool_start_error(const Pool *p, char *to, size_t room) {
  if (!has_table(p))
    return 0;
  return table_start_error(&p->table, to, room);
}
