/*
** glob.c - names against patterns: `*`, `?`, `[...]`, `**` and `\\`.
** Runs in: every process.  Owns: nothing.
*/
#include "glob.h"

#include <stddef.h>
#include <string.h>

/* `kept` is the place to go on from when what follows a star did not
** match: the star then takes one byte more. */

typedef struct Star {
  const char *glob, *text; /* NULL: no star yet */
} Star;

typedef struct Match {
  const char *glob, *text;
  Star star, wide; /* of `*`; of `**` */
  bool by_name;    /* `wide` was a `**` and a `/`: whole names only */
} Match;

/* Behind the `[...]` at `glob` if it holds `c`, else NULL; `closed` says
** whether there is a `]`. */
static const char *match_set(const char *glob, unsigned char c, bool *closed) {
  const char *p = glob + 1;
  bool negated = *p == '!' || *p == '^', in = false;
  p += negated;
  for (const char *first = p; *p != '\0' && (*p != ']' || p == first); p++) {
    if (*p == '\\' && p[1] != '\0')
      p++;
    unsigned char low = (unsigned char)*p, high = low;
    if (p[1] == '-' && p[2] != ']' && p[2] != '\0') {
      p += p[2] == '\\' && p[3] != '\0' ? 3 : 2;
      high = (unsigned char)*p;
    }
    in = in || (low <= c && c <= high);
  }
  *closed = *p == ']';
  return *closed && in != negated && c != '/' ? p + 1 : NULL;
}

/* One byte of the text against one element that is not a star: where the glob
** goes on, or NULL. */
static const char *match_one(const char *glob, char c) {
  bool closed = false;
  const char *rest;
  switch (*glob) {
  case '\0':
    return NULL;
  case '?':
    return c != '/' ? glob + 1 : NULL;
  case '[':
    rest = match_set(glob, (unsigned char)c, &closed);
    return closed ? rest : c == '[' ? glob + 1 : NULL;
  case '\\':
    glob += glob[1] != '\0';
    break;
  }
  return *glob == c ? glob + 1 : NULL;
}

static void take_star(Match *m, const char *start) {
  if (m->glob[1] != '*') {
    m->star = (Star){++m->glob, m->text};
    return;
  }
  bool at_name = m->glob == start || m->glob[-1] == '/';
  m->by_name = at_name && m->glob[2] == '/';
  m->glob += m->by_name ? 3 : 2;
  m->wide = (Star){m->glob, m->text};
  m->star = (Star){NULL, NULL};
}

/* Lets the last star take more: false if none can. */
static bool widen(Match *m) {
  if (m->star.glob != NULL && *m->star.text != '\0' && *m->star.text != '/') {
    m->star.text++;
    m->glob = m->star.glob;
    m->text = m->star.text;
    return true;
  }
  if (m->wide.glob == NULL)
    return false;
  const char *next = m->wide.text;
  if (m->by_name)
    next = strchr(next, '/');
  if (next == NULL || *next == '\0')
    return false;
  m->wide.text = m->text = next + 1;
  m->glob = m->wide.glob;
  m->star = (Star){NULL, NULL};
  return true;
}

bool glob_match(const char *glob, const char *text) {
  Match m = {.glob = glob, .text = text};
  for (;;) {
    if (*m.glob == '*') {
      take_star(&m, glob);
    } else if (*m.text == '\0' && *m.glob == '\0') {
      return true;
    } else {
      const char *rest = *m.text != '\0' ? match_one(m.glob, *m.text) : NULL;
      if (rest != NULL) {
        m.glob = rest;
        m.text++;
      } else if (!widen(&m)) {
        return false;
      }
    }
  }
}
