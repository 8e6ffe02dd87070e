/*
** digest.c - hashing by libcrypto.
** Runs in: every process.  Owns: the loaded library, what was fetched from it,
** one block to read into.  Never: Lua, a map of a file.
*/
#include "digest.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "sys_file.h"

enum { BLOCK_BYTES = 256 * 1024 };

typedef void EachMd(EVP_MD *md, void *with);
typedef void EachName(const char *name, void *with);

/* What we call of libcrypto; the order is that of `symbols`. */
typedef struct Crypto {
  EVP_MD *(*fetch)(OSSL_LIB_CTX *, const char *, const char *);
  void (*md_free)(EVP_MD *);
  int (*md_size)(const EVP_MD *);
  unsigned long (*md_flags)(const EVP_MD *);
  void (*md_all)(OSSL_LIB_CTX *, EachMd *, void *);
  int (*md_names)(const EVP_MD *, EachName *, void *);
  EVP_MD_CTX *(*context_new)(void);
  void (*context_free)(EVP_MD_CTX *);
  int (*context_copy)(EVP_MD_CTX *, const EVP_MD_CTX *);
  int (*begin)(EVP_MD_CTX *, const EVP_MD *, const OSSL_PARAM *);
  int (*update)(EVP_MD_CTX *, const void *, size_t);
  int (*final)(EVP_MD_CTX *, unsigned char *, unsigned *);
  const char *(*version)(int);
} Crypto;

static const char *const symbols[] = {
    "EVP_MD_fetch",           "EVP_MD_free",
    "EVP_MD_get_size",        "EVP_MD_get_flags",
    "EVP_MD_do_all_provided", "EVP_MD_names_do_all",
    "EVP_MD_CTX_new",         "EVP_MD_CTX_free",
    "EVP_MD_CTX_copy_ex",     "EVP_DigestInit_ex2",
    "EVP_DigestUpdate",       "EVP_DigestFinal_ex",
    "OpenSSL_version"};

enum { SYMBOLS = sizeof symbols / sizeof symbols[0] };

_Static_assert(sizeof(Crypto) == SYMBOLS * sizeof(void *), "one name each");

/* Of the process, as the library itself is: fetched before a fork, found by
** the children. `contexts` and `block` are working room of one call. */
static struct {
  bool loaded;
  Crypto call;
  DigestKind *first;
  EVP_MD_CTX *contexts[DIGEST_MAX_AT_ONCE];
  uint8_t *block;
} crypto;

static int bind_symbols(void *library, char *why, size_t why_bytes) {
  void *found[SYMBOLS];
  for (size_t i = 0; i < SYMBOLS; i++) {
    found[i] = dlsym(library, symbols[i]);
    if (found[i] == NULL) {
      snprintf(why, why_bytes, "libcrypto is too old: it has no %s",
               symbols[i]);
      return -1;
    }
  }
  memcpy(&crypto.call, found, sizeof found);
  return 0;
}

static int load(char *why, size_t why_bytes) {
  if (crypto.loaded)
    return 0;
  void *library = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
  if (library == NULL)
    library = dlopen("libcrypto.so", RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) {
    snprintf(why, why_bytes, "cannot load libcrypto: %s", dlerror());
    return -1;
  }
  if (bind_symbols(library, why, why_bytes) != 0) {
    dlclose(library);
    return -1;
  }
  crypto.loaded = true;
  return 0;
}

static bool has_fixed_length(const EVP_MD *md) {
  int size = crypto.call.md_size(md);
  return size > 0 && size <= DIGEST_MAX_BYTES &&
         (crypto.call.md_flags(md) & EVP_MD_FLAG_XOF) == 0;
}

static DigestKind *keep(const char *name, EVP_MD *md) {
  size_t bytes = strlen(name) + 1;
  DigestKind *kind = malloc(sizeof *kind + bytes);
  if (kind == NULL)
    return NULL;
  kind->name = memcpy(kind + 1, name, bytes);
  kind->bytes = (size_t)crypto.call.md_size(md);
  kind->md = md;
  kind->next = NULL;
  DigestKind **end = &crypto.first;
  while (*end != NULL)
    end = &(*end)->next;
  *end = kind;
  return kind;
}

static const DigestKind *fetch(const char *name, char *why, size_t why_bytes) {
  EVP_MD *md = crypto.call.fetch(NULL, name, NULL);
  if (md == NULL) {
    snprintf(why, why_bytes, "unknown digest \"%s\"", name);
    return NULL;
  }
  DigestKind *kind = NULL;
  if (!has_fixed_length(md))
    snprintf(why, why_bytes, "digest \"%s\" has no fixed length", name);
  else if ((kind = keep(name, md)) == NULL)
    snprintf(why, why_bytes, "not enough memory");
  if (kind == NULL)
    crypto.call.md_free(md);
  return kind;
}

const DigestKind *digest_find(const char *name, char *why, size_t why_bytes) {
  for (const DigestKind *k = crypto.first; k != NULL; k = k->next)
    if (strcmp(k->name, name) == 0)
      return k;
  return load(why, why_bytes) == 0 ? fetch(name, why, why_bytes) : NULL;
}

const char *digest_name(size_t i) {
  const DigestKind *k = crypto.first;
  while (k != NULL && i-- > 0)
    k = k->next;
  return k != NULL ? k->name : NULL;
}

static void shorter(const char *name, void *with) {
  const char **best = with;
  bool is_oid = name[0] >= '0' && name[0] <= '9';
  if (!is_oid && (*best == NULL || strlen(name) < strlen(*best)))
    *best = name;
}

typedef struct NamesCall {
  EachName *each;
  void *with;
} NamesCall;

static void tell_name(EVP_MD *md, void *with) {
  const NamesCall *c = with;
  const char *best = NULL;
  crypto.call.md_names(md, shorter, &best);
  if (best != NULL && has_fixed_length(md))
    c->each(best, c->with);
}

int digest_names(void (*each)(const char *name, void *with), void *with,
                 char *why, size_t why_bytes) {
  if (load(why, why_bytes) != 0)
    return -1;
  NamesCall c = {each, with};
  crypto.call.md_all(NULL, tell_name, &c);
  return 0;
}

const char *digest_version(char *why, size_t why_bytes) {
  if (load(why, why_bytes) != 0)
    return NULL;
  return crypto.call.version(OPENSSL_VERSION);
}

/* A message in pieces. */

static int new_context(Digest *d, const DigestKind *kind) {
  *d = (Digest){.kind = kind, .context = crypto.call.context_new()};
  return d->context != NULL ? 0 : -1;
}

static int close_failed(Digest *d) {
  digest_close(d);
  return -1;
}

int digest_open(Digest *d, const DigestKind *kind) {
  if (new_context(d, kind) != 0 ||
      crypto.call.begin(d->context, kind->md, NULL) != 1)
    return close_failed(d);
  return 0;
}

int digest_copy(Digest *d, const Digest *from) {
  if (new_context(d, from->kind) != 0 ||
      crypto.call.context_copy(d->context, from->context) != 1)
    return close_failed(d);
  return 0;
}

int digest_update(Digest *d, const void *bytes, size_t n) {
  if (crypto.call.update(d->context, bytes, n) != 1)
    return close_failed(d);
  return 0;
}

int digest_final(Digest *d, uint8_t out[DIGEST_MAX_BYTES]) {
  int done = crypto.call.final(d->context, out, NULL);
  digest_close(d);
  return done == 1 ? 0 : -1;
}

void digest_close(Digest *d) {
  if (d->context != NULL)
    crypto.call.context_free(d->context);
  d->context = NULL;
}

/* Whole messages, in contexts that are used again. */

static int begin_all(const DigestKind *const kinds[], size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (crypto.contexts[i] == NULL)
      crypto.contexts[i] = crypto.call.context_new();
    if (crypto.contexts[i] == NULL ||
        crypto.call.begin(crypto.contexts[i], kinds[i]->md, NULL) != 1)
      return -1;
  }
  return 0;
}

static int update_all(size_t n, const void *bytes, size_t size) {
  for (size_t i = 0; i < n; i++)
    if (crypto.call.update(crypto.contexts[i], bytes, size) != 1)
      return -1;
  return 0;
}

static int final_all(size_t n, uint8_t out[][DIGEST_MAX_BYTES]) {
  for (size_t i = 0; i < n; i++)
    if (crypto.call.final(crypto.contexts[i], out[i], NULL) != 1)
      return -1;
  return 0;
}

int digest_bytes(const DigestKind *kind, const void *bytes, size_t n,
                 uint8_t out[DIGEST_MAX_BYTES]) {
  if (begin_all(&kind, 1) != 0 || update_all(1, bytes, n) != 0 ||
      crypto.call.final(crypto.contexts[0], out, NULL) != 1)
    return -1;
  return 0;
}

static const char *because(int error, const char *why) {
  errno = error;
  return why != NULL ? why : strerror(error);
}

static const char *refuse_kind(SysKind kind) {
  switch (kind) {
  case SYS_FILE:
  case SYS_BLOCK:
    return NULL;
  case SYS_DIR:
    return because(EISDIR, NULL);
  case SYS_FIFO:
    return because(EINVAL, "Is a FIFO");
  case SYS_SOCKET:
    return because(EINVAL, "Is a socket");
  case SYS_CHAR:
    return because(EINVAL, "Is a character device");
  case SYS_LINK:
  case SYS_UNKNOWN:
    break;
  }
  return because(EINVAL, "Not a regular file");
}

/* Reads to the end. A file that was read up to its size is not asked for its
** end: that the size is still the same says it (read_unchanged). Files whose
** size says nothing, as in /proc, are. */
static const char *read_all(int fd, size_t n, const SysStat *st) {
  for (int64_t total = 0;;) {
    ptrdiff_t got = sys_file_read(fd, crypto.block, BLOCK_BYTES);
    if (got < 0)
      return because(errno, NULL);
    if (got == 0)
      return NULL;
    if (update_all(n, crypto.block, (size_t)got) != 0)
      return because(ENOMEM, NULL);
    total += got;
    if (total == st->size)
      return NULL;
  }
}

static const char *read_unchanged(int fd, size_t n) {
  SysStat before, after;
  if (sys_file_stat(fd, &before) != 0)
    return because(errno, NULL);
  const char *why = refuse_kind(before.kind);
  if (why != NULL)
    return why;
  if (before.size > BLOCK_BYTES)
    sys_file_sequential(fd);
  why = read_all(fd, n, &before);
  if (why != NULL)
    return why;
  if (sys_file_stat(fd, &after) != 0)
    return because(errno, NULL);
  if (before.size != after.size || before.mtime_ns != after.mtime_ns)
    return because(EBUSY, "File changed while it was read");
  return NULL;
}

/* `name` is relative to the folder `at`. */
static const char *file_at(const DigestKind *const kinds[], size_t n, int at,
                           const char *name, uint8_t out[][DIGEST_MAX_BYTES]) {
  if (crypto.block == NULL && (crypto.block = malloc(BLOCK_BYTES)) == NULL)
    return because(ENOMEM, NULL);
  if (begin_all(kinds, n) != 0)
    return because(ENOMEM, NULL);
  int fd = sys_file_open(at, name);
  if (fd < 0)
    return because(errno, NULL);
  const char *why = read_unchanged(fd, n);
  sys_file_close(fd);
  if (why == NULL && final_all(n, out) != 0)
    why = because(ENOMEM, NULL);
  return why;
}

const char *digest_file(const DigestKind *const kinds[], size_t n,
                        const char *path, uint8_t out[][DIGEST_MAX_BYTES]) {
  return file_at(kinds, n, SYS_CWD, path, out);
}

/* Whether the way to `path` is the first len bytes of `way`. */
static bool leads_to(const char *way, size_t len, const char *path) {
  return strncmp(way, path, len) == 0 && path[len] != '\0' &&
         strchr(path + len, '/') == NULL;
}

/* The folder of the first of n items, if more of them are in it: its
** descriptor, and the length of its path. Else SYS_CWD, and 0. */
static int open_common(const DigestItem *items, size_t n, size_t *len) {
  char way[SYS_PATH_BYTES];
  const char *slash = strrchr(items[0].path, '/');
  *len = slash != NULL ? (size_t)(slash + 1 - items[0].path) : 0;
  int fd = SYS_CWD;
  if (n > 1 && *len > 0 && *len < sizeof way && slash[1] != '\0' &&
      leads_to(items[0].path, *len, items[1].path)) {
    memcpy(way, items[0].path, *len);
    way[*len] = '\0';
    fd = sys_file_open_way(way);
  }
  if (fd < 0)
    *len = 0;
  return fd;
}

void digest_files(const DigestKind *kind, DigestItem *items, size_t n) {
  int folder = SYS_CWD;
  size_t len = 0;
  for (size_t i = 0; i < n; i++) {
    DigestItem *item = items + i;
    if (len == 0 || !leads_to(item[-1].path, len, item->path)) {
      sys_file_close(folder);
      folder = open_common(item, n - i, &len);
    }
    item->why = file_at(&kind, 1, folder, item->path + len, &item->out);
    item->error = item->why != NULL ? errno : 0;
  }
  sys_file_close(folder);
}
