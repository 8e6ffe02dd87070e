/*
** sys_file.c - the file half of the OS door.
** Runs in: every process.  Owns: nothing, descriptors are the callers'.
** Never: blocks on a FIFO or a device; maps a file.
*/
#define _GNU_SOURCE
#include "sys_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static SysKind kind_of_mode(mode_t mode) {
  switch (mode & S_IFMT) {
  case S_IFREG:
    return SYS_FILE;
  case S_IFDIR:
    return SYS_DIR;
  case S_IFLNK:
    return SYS_LINK;
  case S_IFIFO:
    return SYS_FIFO;
  case S_IFSOCK:
    return SYS_SOCKET;
  case S_IFCHR:
    return SYS_CHAR;
  case S_IFBLK:
    return SYS_BLOCK;
  default:
    return SYS_UNKNOWN;
  }
}

static int open_retry(int at, const char *path, int flags) {
  int fd;
  do
    fd = openat(at, path, flags | O_CLOEXEC);
  while (fd < 0 && errno == EINTR);
  return fd;
}

/* Length of the longest leading folder of `path` that open() would take. */
static size_t head_length(const char *path) {
  size_t n = PATH_MAX - 1;
  while (n > 0 && path[n] != '/')
    n--;
  return n;
}

/* A path longer than PATH_MAX, in pieces that are not. */
static int open_long(int at, const char *path, int flags) {
  int held = -1;
  while (strlen(path) >= PATH_MAX) {
    char head[PATH_MAX];
    size_t n = head_length(path);
    memcpy(head, path, n);
    head[n] = '\0';
    int next = n == 0 ? -1 : open_retry(at, head, O_PATH | O_DIRECTORY);
    if (n == 0)
      errno = ENAMETOOLONG;
    sys_file_close(held);
    if (next < 0)
      return -1;
    at = held = next;
    path += n + strspn(path + n, "/");
  }
  int fd = open_retry(at, *path == '\0' ? "." : path, flags);
  sys_file_close(held);
  return fd;
}

static int open_any(int at, const char *path, int flags) {
  if (at < 0)
    at = AT_FDCWD;
  int fd = open_retry(at, path, flags);
  if (fd < 0 && errno == ENAMETOOLONG && strlen(path) >= PATH_MAX)
    fd = open_long(at, path, flags);
  return fd;
}

int sys_file_open(int at, const char *path) {
  return open_any(at, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
}

int sys_file_open_way(const char *path) {
  return open_any(SYS_CWD, path, O_PATH | O_DIRECTORY);
}

int sys_file_open_dir(int at, const char *name, bool follow) {
  int flags = O_RDONLY | O_DIRECTORY | (follow ? 0 : O_NOFOLLOW);
  return open_any(at, name, flags);
}

void sys_file_close(int fd) {
  if (fd < 0)
    return;
  int kept = errno;
  close(fd);
  errno = kept;
}

ptrdiff_t sys_file_read(int fd, void *room, size_t bytes) {
  ptrdiff_t n;
  do
    n = read(fd, room, bytes);
  while (n < 0 && errno == EINTR);
  return n;
}

void sys_file_sequential(int fd) {
  (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
}

static int fill(int result, const struct stat *from, SysStat *st) {
  if (result != 0)
    return -1;
  st->kind = kind_of_mode(from->st_mode);
  st->dev = from->st_dev;
  st->ino = from->st_ino;
  st->size = from->st_size;
  st->mtime_ns =
      (int64_t)from->st_mtim.tv_sec * 1000000000 + from->st_mtim.tv_nsec;
  return 0;
}

int sys_file_stat(int fd, SysStat *st) {
  struct stat s;
  return fill(fstat(fd, &s), &s, st);
}

int sys_file_stat_at(int at, const char *name, bool follow, SysStat *st) {
  struct stat s;
  int result;
  do
    result = fstatat(at < 0 ? AT_FDCWD : at, name, &s,
                     follow ? 0 : AT_SYMLINK_NOFOLLOW);
  while (result != 0 && errno == EINTR);
  return fill(result, &s, st);
}

int sys_file_list(SysList *list) {
  ptrdiff_t n;
  do
    n = getdents64(list->fd, list->room, list->room_bytes);
  while (n < 0 && errno == EINTR);
  list->at = 0;
  list->end = n > 0 ? (size_t)n : 0;
  if (n < 0 && errno == ENOENT) /* the folder is gone, and so are its names */
    return 0;
  return n > 0 ? 1 : (int)n;
}

static bool is_dots(const char *name) {
  return name[0] == '.' &&
         (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

bool sys_file_entry(SysList *list, SysEntry *e) {
  while (list->at < list->end) {
    struct dirent64 *d = (struct dirent64 *)(void *)(list->room + list->at);
    list->at += d->d_reclen;
    if (is_dots(d->d_name))
      continue;
    e->name = d->d_name;
    e->len = strlen(d->d_name);
    e->kind = kind_of_mode(DTTOIF(d->d_type));
    return true;
  }
  return false;
}

int sys_columns(int fd) {
  struct winsize size;
  return ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}
