/*
** sys_file.h - files and directories, as the kernel shows them.
** Every call is repeated after EINTR, every descriptor is close-on-exec.
*/
#ifndef SYS_FILE_H
#define SYS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum SysKind {
  SYS_UNKNOWN,
  SYS_FILE,
  SYS_DIR,
  SYS_LINK,
  SYS_FIFO,
  SYS_SOCKET,
  SYS_CHAR,
  SYS_BLOCK
} SysKind;

typedef struct SysStat {
  SysKind kind;
  uint64_t dev, ino;
  int64_t size, mtime_ns;
} SysStat;

enum {
  SYS_CWD = -1, /* as `at`: names are relative to the working folder */
  SYS_PATH_BYTES = 4096
};

/* All of them: -1 with errno on failure. */

/* For reading; a FIFO or a terminal never blocks it, and a path may be longer
** than PATH_MAX. */
int sys_file_open(int at, const char *path);
ptrdiff_t sys_file_read(int fd, void *room, size_t bytes);
int sys_file_stat(int fd, SysStat *st);
int sys_file_stat_at(int at, const char *name, bool follow, SysStat *st);
void sys_file_sequential(int fd); /* a hint: will be read once, in order */
void sys_file_close(int fd);
int sys_columns(int fd); /* of a terminal; 0: it is none, or does not say */

/* A folder, for `at` alone: only its way need be open to this process. */
int sys_file_open_way(const char *path);

/* A folder: a last component that is a link is refused unless `follow`. */
int sys_file_open_dir(int at, const char *name, bool follow);

/*
** Names of a folder. The caller gives a room (8-byte aligned, 32 KiB or more)
** and calls sys_file_list until it returns 0; after each call sys_file_entry
** returns the entries in that room one by one, "." and ".." left out, until
** it returns false. Names live until the next sys_file_list.
*/
typedef struct SysList {
  int fd;
  char *room;
  size_t room_bytes, at, end;
} SysList;

typedef struct SysEntry {
  const char *name; /* ends in a zero byte */
  size_t len;
  SysKind kind; /* SYS_UNKNOWN: this file system does not say */
} SysEntry;

int sys_file_list(SysList *list); /* 1 something, 0 the end, -1 */
bool sys_file_entry(SysList *list, SysEntry *e);

#endif
