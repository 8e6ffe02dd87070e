/*
** hashlist.c - libcrypto alone: forked processes that hash one list of files.
** Runs in: the benchmark.  Owns: its children.  Never: Lua.
**
** hashlist PROCESSES < names, each ended by a zero byte; prints as sha512sum.
*/
#define _GNU_SOURCE
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DIGEST = 64, BLOCK = 1 << 17 };

typedef struct Shared {
  _Atomic size_t next;
  unsigned char digests[];
} Shared;

typedef struct List {
  char **names;
  size_t n, batch;
} List;

static void die(const char *what) {
  perror(what);
  _exit(1);
}

static List names_read(void) {
  size_t len = 0, cap = 1 << 16;
  List list = {0};
  char *text = malloc(cap);
  for (ssize_t k; text && (k = read(0, text + len, cap - len)) > 0;)
    if ((len += (size_t)k) == cap)
      text = realloc(text, cap *= 2);
  if (!text)
    die("names");
  for (size_t i = 0; i < len; i++)
    list.n += !text[i];
  list.names = malloc((list.n + 1) * sizeof *list.names);
  if (!list.names)
    die("names");
  for (size_t i = 0; i < list.n; i++, text += strlen(text) + 1)
    list.names[i] = text;
  return list;
}

static void file_hash(EVP_MD_CTX *c, const EVP_MD *md, const char *name,
                      unsigned char *out) {
  static unsigned char block[BLOCK];
  int fd = open(name, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || !EVP_DigestInit_ex(c, md, NULL))
    die(name);
  for (ssize_t k; (k = read(fd, block, sizeof block)) > 0;)
    EVP_DigestUpdate(c, block, (size_t)k);
  EVP_DigestFinal_ex(c, out, NULL);
  close(fd);
}

static void worker_run(const List *list, Shared *shared, const EVP_MD *md) {
  EVP_MD_CTX *c = EVP_MD_CTX_new();
  size_t at;
  if (!c)
    die("libcrypto");
  while ((at = atomic_fetch_add(&shared->next, list->batch)) < list->n)
    for (size_t i = at; i < at + list->batch && i < list->n; i++)
      file_hash(c, md, list->names[i], shared->digests + i * DIGEST);
  _exit(0);
}

static void digests_print(const List *list, const Shared *shared) {
  for (size_t i = 0; i < list->n; i++) {
    char hex[2 * DIGEST + 1];
    for (size_t k = 0; k < DIGEST; k++) {
      unsigned char byte = shared->digests[i * DIGEST + k];
      hex[2 * k] = "0123456789abcdef"[byte >> 4];
      hex[2 * k + 1] = "0123456789abcdef"[byte & 15];
    }
    hex[2 * DIGEST] = '\0';
    printf("%s  %s\n", hex, list->names[i]);
  }
}

int main(int argc, char **argv) {
  long processes = argc > 1 ? atol(argv[1]) : 2;
  List list = names_read();
  list.batch = list.n > 1000 ? 20 : 1;
  Shared *shared =
      mmap(NULL, sizeof *shared + list.n * DIGEST, PROT_READ | PROT_WRITE,
           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  EVP_MD *md = EVP_MD_fetch(NULL, "SHA512", NULL);
  if (shared == MAP_FAILED || !md)
    die("hashlist");
  for (long i = 0; i < processes; i++)
    if (fork() == 0)
      worker_run(&list, shared, md);
  for (int status; wait(&status) > 0;)
    if (status)
      return 1;
  digests_print(&list, shared);
  return 0;
}
