/*
** history.c - the chunks typed at prompts, kept in a file.
** Runs in: the parent.  Owns: the history file while it reads or writes.
*/
#include "history.h"

#include <string.h>

#include "buf.h"
#include "sys_file.h"
#include "sys_prompt.h"

/* One line of the file becomes an entry in place, ending in a zero byte. */
static void unescape(char *line, char *end) {
  char *to = line;
  for (char *at = line; at < end; at++) {
    if (*at != '\\' || at + 1 == end)
      *to++ = *at;
    else
      *to++ = *++at == 'n' ? '\n' : *at;
  }
  *to = '\0';
}

/* Where the last `most` lines begin. */
static char *last_lines(char *text, char *end, size_t most) {
  char *at = end;
  for (size_t n = 0; at > text && (at[-1] != '\n' || n++ < most);)
    at--;
  return at;
}

static int read_all(int fd, Buf *b) {
  enum { ROOM = 65536 };
  ptrdiff_t n;
  do {
    if (buf_reserve(b, ROOM) != 0)
      return -1;
    n = sys_file_read(fd, b->base + b->len, ROOM);
    b->len += n > 0 ? (size_t)n : 0;
  } while (n > 0);
  return (int)n;
}

static int cut(int fd, Buf *b) {
  char *text = (char *)b->base, *end = text + b->len;
  if (last_lines(text, end, 2 * HISTORY_ENTRIES) == text)
    return 0;
  char *kept = last_lines(text, end, HISTORY_ENTRIES);
  return sys_private_replace(fd, kept, (size_t)(end - kept));
}

int history_load(const char *path, void (*add)(void *to, const char *entry),
                 void *to) {
  int fd = sys_private_open(path);
  if (fd < 0)
    return -1;
  Buf b;
  buf_init(&b);
  int status = read_all(fd, &b);
  if (status == 0)
    status = cut(fd, &b);
  sys_file_close(fd);
  char *end = (char *)b.base + b.len, *line_end;
  char *line = last_lines((char *)b.base, end, HISTORY_ENTRIES);
  for (; line < end; line = line_end + 1) {
    line_end = memchr(line, '\n', (size_t)(end - line));
    if (line_end == NULL)
      break;
    unescape(line, line_end);
    add(to, line);
  }
  buf_clear(&b);
  return status;
}

static int escape(Buf *b, const char *entry) {
  for (; *entry != '\0'; entry++) {
    char code[2] = {'\\', *entry == '\n' ? 'n' : '\\'};
    bool plain = *entry != '\n' && *entry != '\\';
    if (buf_append(b, plain ? entry : code, plain ? 1 : 2) != 0)
      return -1;
  }
  return buf_append(b, "\n", 1);
}

int history_append(const char *path, const char *entry) {
  Buf b;
  buf_init(&b);
  int fd = -1, status = escape(&b, entry);
  if (status == 0)
    status = fd = sys_private_open(path);
  if (fd >= 0) {
    status = sys_private_append(fd, b.base, b.len);
    sys_file_close(fd);
  }
  buf_clear(&b);
  return status;
}
