/*
** digest.h - libcrypto's digests, loaded when first asked for.
*/
#ifndef DIGEST_H
#define DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DIGEST_MAX_BYTES = 64, DIGEST_MAX_AT_ONCE = 16 };

/* A fetched algorithm: lives as long as the process. */
typedef struct DigestKind {
  const char *name; /* as it was asked for */
  size_t bytes;     /* of a result */
  void *md;
  struct DigestKind *next;
} DigestKind;

typedef struct Digest { /* {0} is closed */
  const DigestKind *kind;
  void *context;
} Digest;

/*
** The kind called `name`, fetched at most once per process: a process that
** will fork calls it before, and its children find it ready. NULL with the
** reason in `why` (of `why_bytes`).
*/
const DigestKind *digest_find(const char *name, char *why, size_t why_bytes);

/* The i-th name fetched in this process, from 0; NULL behind the last. */
const char *digest_name(size_t i);

/* Calls `each` with every algorithm libcrypto has: 0, or -1 and `why`. */
int digest_names(void (*each)(const char *name, void *with), void *with,
                 char *why, size_t why_bytes);

/* libcrypto's own version text, or NULL and `why`. */
const char *digest_version(char *why, size_t why_bytes);

/* A message in pieces. 0, or -1: out of memory; `d` is closed then. */
int digest_open(Digest *d, const DigestKind *kind);
int digest_copy(Digest *d, const Digest *from);
int digest_update(Digest *d, const void *bytes, size_t n);
int digest_final(Digest *d, uint8_t out[DIGEST_MAX_BYTES]); /* closes it */
void digest_close(Digest *d);

/* A whole message: 0 or -1, out of memory. */
int digest_bytes(const DigestKind *kind, const void *bytes, size_t n,
                 uint8_t out[DIGEST_MAX_BYTES]);

/*
** The digests of a file, `n` of them (at most DIGEST_MAX_AT_ONCE) in one read,
** result i at out[i]. Regular files and block devices only; blocks of 256 KiB,
** never a map. NULL, or why it failed, with errno: as open(2) and read(2) set
** it; EISDIR; EINVAL for a FIFO, socket or character device; EBUSY when size
** or time of change differ before and after.
*/
const char *digest_file(const DigestKind *const kinds[], size_t n,
                        const char *path, uint8_t out[][DIGEST_MAX_BYTES]);

/*
** The digests of files, each as digest_file has it: `out`, or `why` and
** `error`. Neighbours in one folder are opened from there, which saves most of
** the way to each.
*/
typedef struct DigestItem {
  const char *path;
  const char *why; /* NULL: it is there */
  int error;
  uint8_t out[DIGEST_MAX_BYTES];
} DigestItem;

void digest_files(const DigestKind *kind, DigestItem *items, size_t n);

#endif
