/*
 * Put before the C library (LD_PRELOAD): syncs take SLOW_SYNC_MS longer while the file
 * SLOW_SYNC_SWITCH exists.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static void linger(void) {
  const char *flag = getenv("SLOW_SYNC_SWITCH");
  const char *ms = getenv("SLOW_SYNC_MS");
  if (flag && ms && access(flag, F_OK) == 0) usleep(1000u * (unsigned)atoi(ms));
}

int fdatasync(int file) {
  static int (*real)(int);
  if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  linger();
  return real(file);
}

int fsync(int file) {
  static int (*real)(int);
  if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  linger();
  return real(file);
}
