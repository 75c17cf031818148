/* Fails the n-th system call of a class, for one process: preloaded into it by tests/it/support/faults.rs.
 *
 * A filter hands the calls that matter to a signal handler in the process itself, which counts them, and makes them or says that
 * they failed. So calls are seen that go past the C library, as rustix's do, and a call costs a signal, not the stop of a process
 * as under ptrace. A call that the handler makes itself is known by a number in its last argument, which none of these uses.
 *
 * What to do is in a file of CONTROL's shape that FAULTS names; what was seen and done is left there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/file.h>
#include <ucontext.h>
#include <unistd.h>

#if !defined(__x86_64__)
#error "the registers of this processor are not known here"
#endif

/* The order is that of `Class` in faults.rs. */
enum class { WRITE, SYNC, RENAME, LOCK, FLOCK, OPEN, TRUNCATE, REMOVE, MKDIR, MODE, READ, MAP, ANSWER, CLASSES, NONE };

#define SITES 8192

struct control {
    uint32_t mask;     /* the classes whose calls are counted together and fail */
    uint32_t nth;      /* the first of them that fails, from 1; 0: none does */
    uint32_t error;    /* with that */
    uint32_t sticky;   /* and every one after it */
    uint32_t half;     /* a write that fails has written half before */
    uint32_t hastens;  /* nothing is slept any more once a call was failed */
    uint32_t matched;  /* calls so far that the mask has */
    uint32_t hit;      /* calls that were failed */
    char where[256];   /* the file of the first that failed */
    uint32_t sites[SITES]; /* where none is to fail: which call on which file each matched one is, as a hash */
};

static struct control *control;

#define MARK 0x636c6177u

static long call(long number, long a, long b, long c, long d, long e) {
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = MARK;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

/* mmap takes six arguments: its offset is kept, and the flag that only validates marks it. */
static long map(long a, long b, long c, long d, long e, long f) {
    register long r10 __asm__("r10") = (d & ~(long)MAP_TYPE) | MAP_SHARED_VALIDATE;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(SYS_mmap), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static mode_t kind_of(long fd) {
    struct stat there;
    return call(SYS_fstat, fd, (long)&there, 0, 0, 0) == 0 ? (there.st_mode & S_IFMT) : 0;
}

static int is_opened_to_write(long flags) { return (flags & (O_CREAT | O_WRONLY | O_RDWR | O_TRUNC)) != 0; }

static int is_device(const char *path) {
    return path && (strncmp(path, "/dev/", 5) == 0 || strncmp(path, "/proc/", 6) == 0 || strncmp(path, "/sys/", 5) == 0);
}

static enum class class_of(long number, const long *arg, const char **path, long *fd) {
    switch (number) {
    case SYS_write: case SYS_pwrite64: case SYS_writev:
        *fd = arg[0];
        if (kind_of(arg[0]) == S_IFREG) return WRITE;
        return arg[0] == 1 ? ANSWER : NONE;
    case SYS_read: case SYS_pread64:
        *fd = arg[0];
        return kind_of(arg[0]) == S_IFREG ? READ : NONE;
    case SYS_fsync: case SYS_fdatasync:
        *fd = arg[0];
        return SYNC;
    case SYS_rename: case SYS_link:
        *path = (const char *)arg[1];
        return RENAME;
    case SYS_renameat: case SYS_renameat2: case SYS_linkat:
        *path = (const char *)arg[3];
        return RENAME;
    case SYS_fcntl:
        *fd = arg[0];
        if (arg[1] != F_SETLK && arg[1] != F_SETLKW && arg[1] != F_OFD_SETLK && arg[1] != F_OFD_SETLKW) return NONE;
        return ((struct flock *)arg[2])->l_type == F_UNLCK ? NONE : LOCK;
    case SYS_flock:
        *fd = arg[0];
        return (arg[1] & LOCK_UN) ? NONE : FLOCK;
    case SYS_open:
        *path = (const char *)arg[0];
        return is_opened_to_write(arg[1]) && !is_device(*path) ? OPEN : NONE;
    case SYS_openat:
        *path = (const char *)arg[1];
        return is_opened_to_write(arg[2]) && !is_device(*path) ? OPEN : NONE;
    case SYS_ftruncate: case SYS_fallocate:
        *fd = arg[0];
        return TRUNCATE;
    case SYS_unlink: case SYS_rmdir:
        *path = (const char *)arg[0];
        return REMOVE;
    case SYS_unlinkat:
        *path = (const char *)arg[1];
        return REMOVE;
    case SYS_mkdir:
        *path = (const char *)arg[0];
        return MKDIR;
    case SYS_mkdirat:
        *path = (const char *)arg[1];
        return MKDIR;
    case SYS_fchmod: case SYS_fchown:
        *fd = arg[0];
        return MODE;
    case SYS_chmod: case SYS_chown:
        *path = (const char *)arg[0];
        return MODE;
    case SYS_fchmodat: case SYS_utimensat:
        *path = (const char *)arg[1];
        *fd = arg[0];
        return MODE;
    case SYS_mmap:
        *fd = arg[4];
        return (arg[3] & MAP_ANONYMOUS) ? NONE : MAP;
    default:
        return NONE;
    }
}

static void name_of(const char *path, long fd, char *name, size_t size) {
    if (path) {
        strncpy(name, path, size - 1);
        return;
    }
    char link[40] = "/proc/self/fd/";
    char digits[20];
    int n = 0;
    size_t at = strlen(link);
    do digits[n++] = '0' + fd % 10; while ((fd /= 10) > 0);
    while (n > 0) link[at++] = digits[--n];
    call(SYS_readlink, (long)link, (long)name, size - 1, 0, 0);
}

static uint32_t site_of(long number, const char *path, long fd) {
    char name[256] = {0};
    name_of(path, fd, name, sizeof name);
    uint32_t hash = 2166136261u ^ (uint32_t)number;
    for (const char *at = name; *at; at++) hash = (hash ^ (unsigned char)*at) * 16777619u;
    return hash;
}

static void on_call(int signal, siginfo_t *info, void *context) {
    (void)signal;
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    long arg[6] = {regs[REG_RDI], regs[REG_RSI], regs[REG_RDX], regs[REG_R10], regs[REG_R8], regs[REG_R9]};
    long number = info->si_syscall;
    const char *path = NULL;
    long fd = -1;
    enum class class = class_of(number, arg, &path, &fd);
    int fails = 0;
    if (class != NONE) {
        if (control->mask & (1u << class)) {
            uint32_t n = __atomic_add_fetch(&control->matched, 1, __ATOMIC_SEQ_CST);
            fails = control->nth && (n == control->nth || (control->sticky && n > control->nth));
            if (!control->nth && n <= SITES) control->sites[n - 1] = site_of(number, path, fd);
        }
    }
    int sleeps = number == SYS_nanosleep || number == SYS_clock_nanosleep;
    if (sleeps && control->hastens && control->hit) {
        regs[REG_RAX] = 0;
    } else if (fails) {
        if (__atomic_add_fetch(&control->hit, 1, __ATOMIC_SEQ_CST) == 1)
            name_of(path, fd, control->where, sizeof control->where);
        if (control->half && (number == SYS_write || number == SYS_pwrite64) && arg[2] > 1)
            call(number, arg[0], arg[1], arg[2] / 2, arg[3], arg[4]);
        regs[REG_RAX] = -(long)control->error;
    } else if (number == SYS_mmap) {
        regs[REG_RAX] = map(arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
    } else {
        regs[REG_RAX] = call(number, arg[0], arg[1], arg[2], arg[3], arg[4]);
    }
}

static const int calls[] = {
    SYS_write, SYS_pwrite64, SYS_writev, SYS_read, SYS_pread64, SYS_fsync, SYS_fdatasync, SYS_rename, SYS_renameat, SYS_renameat2,
    SYS_link, SYS_linkat, SYS_fcntl, SYS_flock, SYS_open, SYS_openat, SYS_ftruncate, SYS_fallocate, SYS_unlink, SYS_unlinkat,
    SYS_rmdir, SYS_mkdir, SYS_mkdirat, SYS_fchmod, SYS_fchown, SYS_chmod, SYS_chown, SYS_fchmodat, SYS_utimensat,
    SYS_nanosleep, SYS_clock_nanosleep,
};
#define CALLS (sizeof calls / sizeof *calls)

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("FAULTS");
    if (!name) return;
    int fd = open(name, O_RDWR | O_CLOEXEC);
    if (fd < 0) abort();
    control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    unsetenv("FAULTS");
    unsetenv("LD_PRELOAD");
    struct sigaction action = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART};
    if (control == MAP_FAILED || sigaction(SIGSYS, &action, NULL)) abort();
    struct sock_filter filter[CALLS + 16];
    unsigned at = 0;
#define PUT(...) filter[at++] = (struct sock_filter)__VA_ARGS__
#define FIELD(field) PUT(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field)))
    FIELD(nr);
    PUT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 5));
    /* Only what is shared: the index of the write-ahead log. */
    FIELD(args[3]);
    PUT(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, MAP_TYPE));
    PUT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MAP_SHARED, 1, 0));
    PUT(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    PUT(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP));
    for (unsigned n = 0; n < CALLS; n++) PUT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[n], CALLS - n, 0));
    PUT(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    FIELD(args[5]);
    PUT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MARK, 0, 1));
    PUT(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    PUT(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP));
    struct sock_fprog program = {.len = at, .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) abort();
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) abort();
}
