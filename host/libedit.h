/*
** libedit.h - what is used of libedit, which is loaded when it is needed.
*/
#ifndef LIBEDIT_H
#define LIBEDIT_H

#include <stdbool.h>
#include <stdio.h>
#include <wchar.h>

typedef struct EditLine EditLine;
typedef struct History History;

typedef struct LineInfo {
  const char *buffer, *cursor, *lastchar;
} LineInfo;

typedef struct HistEvent {
  int num;
  const char *str;
} HistEvent;

enum { /* el_set, el_get */
       EL_EDITOR = 2,
       EL_BIND = 4,
       EL_ADDFN = 9,
       EL_HIST = 10,
       EL_GETCFN = 13,
       EL_CLIENTDATA = 14,
       EL_PREP_TERM = 16,
       EL_PROMPT_ESC = 21,
       EL_RPROMPT_ESC = 22
};

enum { /* what a function of ours answers */
       CC_NORM = 0,
       CC_EOF = 2,
       CC_REFRESH = 4,
       CC_CURSOR = 5,
       CC_ERROR = 6,
       CC_REDISPLAY = 8
};

enum {
  H_SETSIZE = 1,
  H_GETSIZE = 2,
  H_FIRST = 3,
  H_ENTER = 10,
  H_SETUNIQUE = 20
};

typedef int HistoryCall(History *, HistEvent *, int, ...);

typedef struct Libedit {
  EditLine *(*el_init)(const char *, FILE *, FILE *, FILE *);
  void (*el_end)(EditLine *);
  int (*el_set)(EditLine *, int, ...);
  int (*el_wset)(EditLine *, int, ...);
  int (*el_get)(EditLine *, int, ...);
  const wchar_t *(*el_wgets)(EditLine *, int *);
  const LineInfo *(*el_line)(EditLine *);
  int (*el_winsertstr)(EditLine *, const wchar_t *);
  void (*el_deletestr)(EditLine *, int);
  int (*el_cursor)(EditLine *, int);
  void (*el_wpush)(EditLine *, const wchar_t *);
  int (*el_source)(EditLine *, const char *);
  void (*el_resize)(EditLine *);
  History *(*history_init)(void);
  void (*history_end)(History *);
  HistoryCall *history;
} Libedit;

/* Of all libedit's users here, one library; libedit_load fills it. */
extern Libedit libedit;

/* False: there is none here, or an older one. */
bool libedit_load(void);

#endif
