/*
 * tracer: runs a command and counts the file-changing system calls of the whole process tree, so
 * that a test can stop the tree in front of any one of them.
 *
 *   tracer [options] count [ERRNO]    -- COMMAND...   count the points (those ERRNO can hit)
 *   tracer [options] kill N           -- COMMAND...   SIGKILL the tree before call N, exit 137
 *   tracer [options] stop N PROGRAM   -- COMMAND...   run `sh -c PROGRAM` before call N, then kill
 *   tracer [options] fault N ERRNO    -- COMMAND...   call N fails with ERRNO
 *   tracer shutdown [--commit-first FILE] MOUNT       cut the power of a mounted ext4 or xfs
 *   tracer writeback FILE                             write its bytes out, but not its time stamps
 *
 *   --log FILE        one line per point: number, pid, comm, call, path, second path (tabs between)
 *   --summary FILE    `points=N reached=0|1 processes=N execs=N status=N`
 *   --under DIR       only calls on paths below DIR are points
 *   --persist         with fault: every later call that ERRNO can hit fails too
 *   --timeout S       kill the tree after S seconds, exit 124
 *   --detached kill|wait|leave   what happens to processes that outlive COMMAND (default kill);
 *                     with leave, `kill` spares those that are in another session
 *
 * A seccomp filter returns SECCOMP_RET_TRACE for these calls only, so that everything else runs
 * at full speed; ptrace follows fork, vfork, clone and exec. The tracer is the child subreaper:
 * when waitpid says ECHILD the whole tree is gone, daemons included. No process executes another
 * changing call once the point is reached: it would have to pass the tracer first.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/ptrace.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

/* <sys/ptrace.h> and <linux/ptrace.h> clash; the call itself is all we need. */
extern long ptrace(int request, ...);

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
#else
#error "x86_64 and aarch64 only"
#endif

/* What a call does, and with it which errors it can meet. */
enum {
  ALLOC = 1,  /* takes space or inodes: ENOSPC, EDQUOT, EIO */
  NAME = 2,   /* changes names or metadata: EROFS, EIO */
  SYNC = 4,   /* fsync and kin: EIO, ENOSPC (delayed allocation) */
  DATA = 8,   /* changes bytes of an open file */
  OPEN = 16,  /* opens for reading: EMFILE */
  READ = 32,  /* reads bytes or names: EIO */
};
#define MUTATING (ALLOC | NAME | SYNC | DATA)

/* Where the call names its file: P0 = path in argument 0, A0 = dirfd+path in 0 and 1, F0 = fd. */
enum { NONE, P0, P1, A0, A1, A2, F0, F1, F2 };

struct call {
  int nr;
  const char *name;
  int does, first, second;
};

#define C(name, does, first, second) {__NR_##name, #name, does, first, second}
static const struct call calls[] = {
#ifdef __NR_open
    C(open, OPEN, P0, NONE), C(creat, ALLOC | NAME | OPEN, P0, NONE),
    C(rename, ALLOC | NAME, P0, P1), C(link, ALLOC | NAME, P0, P1),
    C(symlink, ALLOC | NAME, P1, NONE), C(unlink, NAME, P0, NONE), C(rmdir, NAME, P0, NONE),
    C(mkdir, ALLOC | NAME, P0, NONE), C(mknod, ALLOC | NAME, P0, NONE),
    C(chmod, NAME, P0, NONE), C(chown, NAME, P0, NONE), C(lchown, NAME, P0, NONE),
    C(utime, NAME, P0, NONE), C(utimes, NAME, P0, NONE), C(futimesat, NAME, A0, NONE),
#endif
    C(openat, OPEN, A0, NONE), C(openat2, OPEN, A0, NONE),
#ifdef __NR_renameat
    C(renameat, ALLOC | NAME, A0, A2),
#endif
    C(renameat2, ALLOC | NAME, A0, A2), C(linkat, ALLOC | NAME, A0, A2),
    C(symlinkat, ALLOC | NAME, A1, NONE), C(unlinkat, NAME, A0, NONE),
    C(mkdirat, ALLOC | NAME, A0, NONE), C(mknodat, ALLOC | NAME, A0, NONE),
    C(fchmod, NAME, F0, NONE), C(fchmodat, NAME, A0, NONE), C(fchown, NAME, F0, NONE),
    C(fchownat, NAME, A0, NONE), C(utimensat, NAME, A0, NONE),
#ifdef __NR_fchmodat2
    C(fchmodat2, NAME, A0, NONE),
#endif
    C(setxattr, ALLOC | NAME, P0, NONE), C(lsetxattr, ALLOC | NAME, P0, NONE),
    C(fsetxattr, ALLOC | NAME, F0, NONE), C(removexattr, NAME, P0, NONE),
    C(lremovexattr, NAME, P0, NONE), C(fremovexattr, NAME, F0, NONE),
    C(truncate, NAME, P0, NONE), C(ftruncate, DATA, F0, NONE), C(fallocate, ALLOC | DATA, F0, NONE),
    C(write, ALLOC | DATA, F0, NONE), C(pwrite64, ALLOC | DATA, F0, NONE),
    C(writev, ALLOC | DATA, F0, NONE), C(pwritev, ALLOC | DATA, F0, NONE),
    C(pwritev2, ALLOC | DATA, F0, NONE), C(sendfile, ALLOC | DATA, F0, NONE),
    C(copy_file_range, ALLOC | DATA, F2, NONE), C(splice, ALLOC | DATA, F2, NONE),
    C(ioctl, ALLOC | DATA, F0, NONE),
    C(fsync, SYNC, F0, NONE), C(fdatasync, SYNC, F0, NONE), C(syncfs, SYNC, F0, NONE),
    C(sync, SYNC, NONE, NONE), C(sync_file_range, SYNC, F0, NONE), C(msync, SYNC, NONE, NONE),
    C(mount, NAME, P1, NONE), C(umount2, NAME, P0, NONE),
    C(read, READ, F0, NONE), C(pread64, READ, F0, NONE), C(getdents64, READ, F0, NONE),
};
#define NCALLS (sizeof calls / sizeof *calls)

/* Of ioctl only reflinks and inode flags change a file. */
static const unsigned changing_ioctls[] = {FICLONE, FICLONERANGE, FS_IOC_SETFLAGS};

enum mode { COUNT, KILL, STOP, FAULT };
static enum mode mode;
static long point, points;
static int inject, persist, reached;
static int wanted = MUTATING; /* which kinds of call are points in this run */
static const char *program, *under;
static FILE *log_file;
static const char *summary;
static enum { DETACHED_KILL, DETACHED_WAIT, DETACHED_LEAVE } detached;
static unsigned timeout;
static long processes = 1, execs;
static pid_t *tree, root_session;
static size_t tree_size, tree_room;
static volatile sig_atomic_t expired;

static void die(const char *format, ...) {
  va_list list;
  va_start(list, format);
  fputs("tracer: ", stderr);
  vfprintf(stderr, format, list);
  fprintf(stderr, ": %s\n", strerror(errno));
  va_end(list);
  exit(125);
}

static int errno_of(const char *name) {
  static const struct { const char *name; int value, hits; } known[] = {
      {"ENOSPC", ENOSPC, ALLOC | SYNC}, {"EDQUOT", EDQUOT, ALLOC | SYNC},
      {"EIO", EIO, MUTATING},           {"EROFS", EROFS, ALLOC | NAME},
      {"EIO-READ", EIO, READ},
      {"EMFILE", EMFILE, OPEN},         {"EACCES", EACCES, NAME | OPEN},
  };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (!strcmp(known[i].name, name)) {
      wanted = known[i].hits;
      return known[i].value;
    }
  errno = EINVAL;
  die("errno %s", name);
  return 0;
}

/* ---- the filter ------------------------------------------------------------------------------ */

static struct sock_filter code[1024];
static unsigned short code_size;

static void emit(unsigned short op, unsigned k, unsigned char yes, unsigned char no) {
  code[code_size++] = (struct sock_filter){op, yes, no, k};
}

#define LOAD(field) emit(BPF_LD | BPF_W | BPF_ABS, (unsigned)(field), 0, 0)
#define ARGUMENT(i) (offsetof(struct seccomp_data, args) + 8 * (i)) /* low half, little endian */
#define ANSWER(what) emit(BPF_RET | BPF_K, (what), 0, 0)
#define CREATES (O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY))

/* Traces the calls that are points in this run; an open only when it creates, unless all are. */
static void install_filter(void) {
  LOAD(offsetof(struct seccomp_data, arch));
  emit(BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCH, 1, 0);
  ANSWER(SECCOMP_RET_KILL_PROCESS);
  LOAD(offsetof(struct seccomp_data, nr));
  for (size_t i = 0; i < NCALLS; i++) {
    const struct call *call = &calls[i];
    int plain_open = call->does == OPEN && !(wanted & OPEN);
    if (plain_open ? !(wanted & (ALLOC | NAME)) : !(call->does & wanted)) continue;
    if (plain_open && call->nr != __NR_openat2) {
      emit(BPF_JMP | BPF_JEQ | BPF_K, call->nr, 0, 4);
      LOAD(ARGUMENT(call->first == P0 ? 1 : 2));
      emit(BPF_JMP | BPF_JSET | BPF_K, CREATES, 0, 1);
      ANSWER(SECCOMP_RET_TRACE);
      ANSWER(SECCOMP_RET_ALLOW);
    } else if (call->nr == __NR_ioctl) {
      size_t n = sizeof changing_ioctls / sizeof *changing_ioctls;
      emit(BPF_JMP | BPF_JEQ | BPF_K, call->nr, 0, 2 * n + 2);
      LOAD(ARGUMENT(1));
      for (size_t k = 0; k < n; k++) {
        emit(BPF_JMP | BPF_JEQ | BPF_K, changing_ioctls[k], 0, 1);
        ANSWER(SECCOMP_RET_TRACE);
      }
      ANSWER(SECCOMP_RET_ALLOW);
    } else {
      emit(BPF_JMP | BPF_JEQ | BPF_K, call->nr, 0, 1);
      ANSWER(SECCOMP_RET_TRACE);
    }
  }
  ANSWER(SECCOMP_RET_ALLOW);
  struct sock_fprog prog = {code_size, code};
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0) return;
  /* Without CAP_SYS_ADMIN the filter needs a promise that no set-uid program gains anything. */
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
    die("seccomp");
}

/* ---- what a stopped process is about to do --------------------------------------------------- */

static void read_string(pid_t pid, uint64_t address, char *into) {
  size_t have = 0;
  into[0] = 0;
  while (have < PATH_MAX - 1) {
    size_t step = 256 - (address + have) % 256;
    if (step > PATH_MAX - 1 - have) step = PATH_MAX - 1 - have;
    struct iovec local = {into + have, step}, remote = {(void *)(address + have), step};
    ssize_t got = syscall(SYS_process_vm_readv, pid, &local, 1, &remote, 1, 0);
    if (got <= 0) break;
    if (memchr(into + have, 0, got)) return;
    have += got;
  }
  into[have] = 0;
}

static void read_link(char *into, const char *format, pid_t pid, int fd) {
  char link[64];
  snprintf(link, sizeof link, format, pid, fd);
  ssize_t n = readlink(link, into, PATH_MAX - 1);
  into[n < 0 ? 0 : n] = 0;
}

/* The path that argument `where` of the call names, made absolute (links are not followed). */
static void path_of(pid_t pid, const uint64_t *args, int where, char *into) {
  char relative[PATH_MAX];
  int dirfd = AT_FDCWD, at;
  into[0] = 0;
  switch (where) {
  case F0: case F1: case F2:
    read_link(into, "/proc/%d/fd/%d", pid, (int)args[where - F0]);
    return;
  case P0: case P1: at = where - P0; break;
  case A0: case A1: case A2:
    at = where - A0 + 1;
    dirfd = (int)args[at - 1];
    break;
  default: return;
  }
  read_string(pid, args[at], relative);
  if (relative[0] == '/') {
    strcpy(into, relative);
    return;
  }
  if (dirfd == AT_FDCWD) read_link(into, "/proc/%d/cwd", pid, 0);
  else read_link(into, "/proc/%d/fd/%d", pid, dirfd);
  if (relative[0] && strlen(into) + strlen(relative) + 2 < PATH_MAX) {
    strcat(into, "/");
    strcat(into, relative);
  }
}

static int regular(pid_t pid, int fd) {
  char link[64];
  struct stat st;
  snprintf(link, sizeof link, "/proc/%d/fd/%d", pid, fd);
  return stat(link, &st) == 0 && S_ISREG(st.st_mode);
}

static int below(const char *path, const char *dir) {
  size_t n = strlen(dir);
  return !strncmp(path, dir, n) && (path[n] == 0 || path[n] == '/');
}

/* The filter sees numbers only, so the flags that openat2 takes in a structure are read here. */
static int opens_for_reading(pid_t pid, const struct call *call, const uint64_t *args) {
  uint64_t flags = 0;
  struct iovec local = {&flags, sizeof flags}, remote = {(void *)args[2], sizeof flags};
  if (call->nr != __NR_openat2) return 0;
  return syscall(SYS_process_vm_readv, pid, &local, 1, &remote, 1, 0) == sizeof flags &&
         !(flags & CREATES);
}

/* `mkdir -p` tries every parent, `rm -f` what is not there: nothing lies between before and after. */
static int changes_nothing(const struct call *call, const char *path) {
  struct stat st;
  int there = lstat(path, &st) == 0;
  if (!strncmp(call->name, "mkdir", 5)) return there;
  if (!strncmp(call->name, "unlink", 6) || !strcmp(call->name, "rmdir")) return !there;
  return 0;
}

/* Devices and kernel files hold nothing that a crash could damage. */
static int is_point(pid_t pid, const struct call *call, const uint64_t *args, const char *path,
                    const char *path2) {
  if (!(wanted & OPEN) && opens_for_reading(pid, call, args)) return 0;
  if ((call->does & (DATA | READ)) && call->nr != __NR_getdents64 &&
      !regular(pid, (int)args[call->first - F0]))
    return 0;
  if (changes_nothing(call, path)) return 0;
  if (below(path, "/proc") || below(path, "/sys")) return 0;
  if (below(path, "/dev") && !below(path, "/dev/shm")) return 0;
  return !under || below(path, under) || (*path2 && below(path2, under));
}

static void put_escaped(const char *text) {
  for (const unsigned char *c = (const unsigned char *)text; *c; c++)
    if (*c < 32 || *c > 126 || *c == '\\') fprintf(log_file, "\\x%02x", *c);
    else fputc(*c, log_file);
}

static void write_log(pid_t pid, const char *name, const char *path, const char *path2) {
  char file[64], comm[32] = "?";
  snprintf(file, sizeof file, "/proc/%d/comm", pid);
  FILE *f = fopen(file, "r");
  if (f) {
    if (fgets(comm, sizeof comm, f)) comm[strcspn(comm, "\n")] = 0;
    fclose(f);
  }
  fprintf(log_file, "%ld\t%d\t%s\t%s\t", points, pid, comm, name);
  put_escaped(path);
  if (*path2) {
    fputc('\t', log_file);
    put_escaped(path2);
  }
  fputc('\n', log_file);
}

/* Makes the stopped call return -error without being executed. */
static void fail_call(pid_t pid, int error) {
#if defined(__x86_64__)
  struct user_regs_struct regs;
  if (ptrace(PTRACE_GETREGS, pid, 0, &regs)) return;
  regs.orig_rax = -1;
  regs.rax = -error;
  ptrace(PTRACE_SETREGS, pid, 0, &regs);
#else
  struct user_regs_struct regs;
  int none = -1;
  struct iovec all = {&regs, sizeof regs}, number = {&none, sizeof none};
  if (ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &all)) return;
  regs.regs[0] = -error;
  ptrace(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &number);
  ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &all);
#endif
}

/* ---- the tree -------------------------------------------------------------------------------- */

static void know(pid_t pid) {
  for (size_t i = 0; i < tree_size; i++)
    if (tree[i] == pid) return;
  if (tree_size == tree_room && !(tree = realloc(tree, (tree_room = tree_room * 2 + 64) * sizeof *tree)))
    die("memory");
  tree[tree_size++] = pid;
}

static void forget(pid_t pid) {
  for (size_t i = 0; i < tree_size; i++)
    if (tree[i] == pid) {
      tree[i] = tree[--tree_size];
      return;
    }
}

static int spared(pid_t pid) {
  return detached == DETACHED_LEAVE && !expired && getsid(pid) != root_session;
}

static void kill_tree(void) {
  for (size_t i = 0; i < tree_size; i++)
    if (!spared(tree[i])) kill(tree[i], SIGKILL);
}

static void run_program(void) {
  pid_t pid = fork();
  if (pid < 0) die("fork");
  if (pid == 0) {
    execl("/bin/sh", "sh", "-c", program, (char *)NULL);
    _exit(127);
  }
  int status;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) die("waitpid");
  if (status != 0) fprintf(stderr, "tracer: the program at the point ended with status %d\n", status);
}

/* A process is about to make a traced call. Returns 1 when this is the end of the tree. */
static int at_call(pid_t pid) {
  struct ptrace_syscall_info info;
  char path[PATH_MAX], path2[PATH_MAX];
  if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) <= 0) return 0;
  const struct call *call = calls;
  while (call < calls + NCALLS && call->nr != (int)info.seccomp.nr) call++;
  if (call == calls + NCALLS) return 0;
  uint64_t args[6];
  memcpy(args, info.seccomp.args, sizeof args);
  path_of(pid, args, call->first, path);
  path_of(pid, args, call->second, path2);
  if (!is_point(pid, call, args, path, path2)) return 0;
  points++;
  if (log_file) write_log(pid, call->name, path, path2);
  if (mode == COUNT || (points != point && !(persist && points > point))) return 0;
  reached = 1;
  if (mode == FAULT) {
    fail_call(pid, inject);
    return 0;
  }
  if (mode == STOP) run_program();
  return 1;
}

static void on_alarm(int signal) {
  (void)signal;
  expired = 1;
}

static void start(char **argv, pid_t *child) {
  int gate[2];
  char byte = 0;
  if (pipe2(gate, O_CLOEXEC)) die("pipe");
  *child = fork();
  if (*child < 0) die("fork");
  if (*child == 0) {
    if (read(gate[0], &byte, 1) != 1) _exit(125);
    install_filter();
    execvp(argv[0], argv);
    fprintf(stderr, "tracer: %s: %s\n", argv[0], strerror(errno));
    _exit(127);
  }
  long options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                 PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
  if (ptrace(PTRACE_SEIZE, *child, 0, options)) die("seize");
  root_session = getsid(*child);
  know(*child);
  if (write(gate[1], &byte, 1) != 1) die("gate");
  close(gate[0]);
  close(gate[1]);
}

static void finish(int status, int report) {
  if (log_file) fflush(log_file);
  if (summary) {
    FILE *f = fopen(summary, "w");
    if (!f) die("%s", summary);
    fprintf(f, "points=%ld reached=%d processes=%ld execs=%ld status=%d\n", points, reached,
            processes, execs, status);
    fclose(f);
  }
  if (report >= 0) {
    unsigned char byte = status;
    if (write(report, &byte, 1) != 1) die("report");
    close(report);
  }
}

/* Follows the tree until nothing of it is left; the status of the command itself is the answer. */
static int trace(char **argv, int report) {
  pid_t child, pid;
  int status, result = 125, done = 0, killing = 0;
  start(argv, &child);
  if (report >= 0) { /* stays behind with the detached ones, so must not hold anyone's pipes */
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++) dup2(null, fd);
  }
  if (timeout) alarm(timeout);
  for (;;) {
    if (expired && !killing) {
      killing = 1;
      result = 124;
      kill_tree();
    }
    pid = waitpid(-1, &status, __WALL);
    if (pid < 0) {
      if (errno == EINTR) continue;
      break; /* ECHILD: all gone */
    }
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
      forget(pid);
      if (pid != child) continue;
      if (result != 124)
        result = killing ? 137 : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      if (!done) {
        done = 1;
        if (detached == DETACHED_LEAVE) {
          finish(result, report);
          report = -1;
        } else if (detached == DETACHED_KILL) {
          killing = 1;
          kill_tree();
        }
      }
      continue;
    }
    know(pid);
    if (killing && !spared(pid)) {
      kill(pid, SIGKILL);
      continue;
    }
    int event = status >> 16, signal = WSTOPSIG(status);
    if (event == PTRACE_EVENT_SECCOMP) {
      if (!killing && at_call(pid)) {
        killing = 1;
        kill_tree();
        if (!spared(pid)) continue;
      }
      signal = 0;
    } else if (event == PTRACE_EVENT_STOP) {
      if (signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU) {
        ptrace(PTRACE_LISTEN, pid, 0, 0);
        continue;
      }
      signal = 0;
    } else if (event == PTRACE_EVENT_EXEC) {
      unsigned long former = 0;
      ptrace(PTRACE_GETEVENTMSG, pid, 0, &former);
      if ((pid_t)former != pid) forget((pid_t)former);
      execs++;
      signal = 0;
    } else if (event) {
      unsigned long made = 0;
      ptrace(PTRACE_GETEVENTMSG, pid, 0, &made);
      if (made) know((pid_t)made);
      processes++;
      signal = 0;
    }
    ptrace(PTRACE_CONT, pid, 0, (long)signal);
  }
  if (!(done && detached == DETACHED_LEAVE)) finish(result, report);
  return result;
}

/* EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN are one number; 2 = do not even flush the log. */
static int power_cut(int argc, char **argv) {
  uint32_t no_log_flush = 2;
  if (argc == 3 && !strcmp(argv[0], "--commit-first")) {
    int other = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (other < 0 || write(other, "x", 1) != 1 || fsync(other)) die("%s", argv[1]);
    argv += 2;
    argc -= 2;
  }
  int fd = argc == 1 ? open(argv[0], O_RDONLY | O_DIRECTORY) : -1;
  if (fd < 0 || ioctl(fd, _IOR('X', 125, uint32_t), &no_log_flush)) die("shutdown");
  return 0;
}

/* As the kernel may do at any moment: the data is on the disk, the journal knows nothing of it. */
static int write_back(int argc, char **argv) {
  int fd = argc == 1 ? open(argv[0], O_RDWR) : -1;
  int all = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
  if (fd < 0 || sync_file_range(fd, 0, 0, all)) die("writeback");
  return 0;
}

static char *next(char ***argv, const char *what) {
  if (!**argv) {
    errno = EINVAL;
    die("%s is missing", what);
  }
  return *(*argv)++;
}

int main(int argc, char **argv) {
  if (argc > 1 && !strcmp(argv[1], "shutdown")) return power_cut(argc - 2, argv + 2);
  if (argc > 1 && !strcmp(argv[1], "writeback")) return write_back(argc - 2, argv + 2);
  argv++;
  for (; *argv && !strncmp(*argv, "--", 2);) {
    char *option = *argv++;
    if (!strcmp(option, "--persist")) persist = 1;
    else if (!strcmp(option, "--log")) {
      if (!(log_file = fopen(next(&argv, option), "we"))) die("log");
    } else if (!strcmp(option, "--summary")) summary = next(&argv, option);
    else if (!strcmp(option, "--under")) under = next(&argv, option);
    else if (!strcmp(option, "--timeout")) timeout = atoi(next(&argv, option));
    else if (!strcmp(option, "--detached")) {
      char *how = next(&argv, option);
      detached = !strcmp(how, "wait") ? DETACHED_WAIT : !strcmp(how, "leave") ? DETACHED_LEAVE : DETACHED_KILL;
    } else {
      errno = EINVAL;
      die("%s", option);
    }
  }
  char *verb = next(&argv, "mode");
  if (!strcmp(verb, "count")) {
    mode = COUNT;
    if (*argv && strcmp(*argv, "--")) errno_of(*argv++);
  } else {
    mode = !strcmp(verb, "kill") ? KILL : !strcmp(verb, "stop") ? STOP : FAULT;
    point = atol(next(&argv, "point"));
    if (mode == STOP) program = next(&argv, "program");
    if (mode == FAULT) inject = errno_of(next(&argv, "errno"));
  }
  if (strcmp(next(&argv, "--"), "--") || !*argv) {
    errno = EINVAL;
    die("usage: tracer [options] count|kill|stop|fault ... -- COMMAND");
  }
  struct sigaction action = {.sa_handler = on_alarm};
  sigaction(SIGALRM, &action, NULL); /* no SA_RESTART: waitpid has to return */
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  if (detached != DETACHED_LEAVE) return trace(argv, -1);
  int report[2];
  unsigned char status = 125;
  if (pipe2(report, O_CLOEXEC)) die("pipe");
  pid_t back = fork();
  if (back < 0) die("fork");
  if (back == 0) {
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    close(report[0]);
    trace(argv, report[1]);
    if (log_file) fclose(log_file);
    _exit(0);
  }
  close(report[1]);
  if (read(report[0], &status, 1) != 1) status = 125;
  return status;
}
