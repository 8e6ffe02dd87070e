/*
** sys_prompt.h - what a prompt needs of the kernel: the terminal's mode and
** width, signals that wait, a private file that several prompts append to.
*/
#ifndef SYS_PROMPT_H
#define SYS_PROMPT_H

#include <stdbool.h>
#include <stddef.h>

struct termios;

/* The terminal's mode, for free(); NULL: stdin is none. */
struct termios *sys_terminal_mode(void);
void sys_terminal_set(const struct termios *mode);
int sys_terminal_columns(void);

/* A descriptor that is readable when one of the signals of a terminal has come
** and is blocked; -1. sys_signal_next: its number, 0 for none. */
int sys_signals_open(void);
int sys_signal_next(int fd);
void sys_signals_block(bool block);
/* SIGINT waits from now on, for sys_await_typed. */
void sys_interrupts_wait(void);
/* Until there is input, or, false, SIGINT came; it does not wait any more. */
bool sys_await_typed(void);
/* As Ctrl-Z does without a handler; returns when the shell goes on with us. */
void sys_suspend(void);

/* Bytes of input that are there. */
size_t sys_typed_ahead(void);
/* The first that is readable, -1 after that many ms (-1: never). */
int sys_wait_readable(const int *fds, int n, int timeout_ms);

/*
** A file of mode 0600 in folders of 0700, made where they are missing, and
** locked until it is closed; -1 with errno. Only regular files are good.
*/
int sys_private_open(const char *path);
int sys_private_append(int fd, const void *bytes, size_t n);
int sys_private_replace(int fd, const void *bytes, size_t n);

#endif
