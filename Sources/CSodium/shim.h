#pragma once
#include <sodium.h>

#include <sys/resource.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

/// Stops the system from writing this process's memory to a core file, and other processes of the same user from
/// reading it. Swift cannot call the variadic prctl. Returns 0 on success.
static inline int bauta_forbid_core_dumps(void) {
  const struct rlimit none = {0, 0};
  if (setrlimit(RLIMIT_CORE, &none) != 0) return -1;
#if defined(__linux__)
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return -1;
#endif
  return 0;
}
