/*
 * rota-lab-pc: a simulated PC for scratch labs and tests. It "boots" a rota-target and can be reset.
 *
 *   rota-lab-pc --boot-id-file FILE --pid-file FILE [--boot-time MS] [--die-with-parent] -- PROGRAM ARG…
 *   rota-lab-pc --reset|--off|--on PIDFILE
 *
 * A boot writes a fresh boot id and starts the program. SIGUSR1 is the reset button: every
 * descendant, however deep and however detached, gets SIGKILL; after the boot time comes a new boot.
 * SIGUSR2 pulls the plug: killed, and off until SIGHUP, the power button. SIGTERM shuts down: the
 * program is asked to end, what is left after 5 s is killed, and we end.
 * When the program ends unasked it is started again after 200 ms under the same boot id, and its
 * children live on: that is what systemd does with Restart=always and KillMode=process. An exit with
 * status 2 (its configuration is wrong) is final until the next boot.
 *
 * It does not simulate the disk: what was written stays written. The pid file is locked while we live, so
 * that the second form cannot signal a stranger.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RESTART_MS 200
#define SHUTDOWN_MS 5000
#define CONFIG_STATUS 2
#define PROCESSES_MAX 4096

enum power {
        POWER_OFF,
        POWER_BOOTING, /* until .when */
        POWER_ON,
        POWER_RESTARTING, /* on, but the program ended: again at .when */
        POWER_HALTED,     /* on, but the program refused its configuration */
};

struct pc {
        const char *boot_id_file;
        char **argv;
        int64_t boot_ms;
        enum power power;
        int64_t when;
        pid_t program; /* 0: none */
        sigset_t inherited;
};

static int64_t now_ms(void) {
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return ts.tv_sec * INT64_C(1000) + ts.tv_nsec / 1000000;
}

static void say(const char *text) {
        fprintf(stderr, "rota-lab-pc: %s\n", text);
}

static int boot_id_write(const char *path) {
        uint8_t b[16];
        char tmp[4096];
        FILE *f;

        if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
                return -EIO;
        if (snprintf(tmp, sizeof(tmp), "%s.tmp", path) >= (int)sizeof(tmp))
                return -ENAMETOOLONG;
        b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* RFC 4122 4.4, as the kernel's are */
        b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
        f = fopen(tmp, "we");
        if (!f)
                return -errno;
        for (size_t i = 0; i < sizeof(b); i++)
                fprintf(f, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", b[i]);
        fputc('\n', f);
        if (fclose(f) != 0 || rename(tmp, path) < 0)
                return -errno;
        return 0;
}

/* The parent of @pid, or 0. */
static pid_t parent_of(pid_t pid) {
        char path[64], line[512];
        const char *p;
        FILE *f;
        size_t n;
        int ppid = 0;

        snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        f = fopen(path, "re");
        if (!f)
                return 0;
        n = fread(line, 1, sizeof(line) - 1, f);
        fclose(f);
        line[n] = '\0';
        p = strrchr(line, ')'); /* the name before it may contain anything */
        if (!p || sscanf(p + 1, " %*c %d", &ppid) != 1)
                return 0;
        return ppid;
}

/* Sends SIGKILL to everything below us. We are the subreaper: whoever loses its parent becomes our child. */
static void kill_descendants(void) {
        static struct {
                pid_t pid, ppid;
                bool ours;
        } all[PROCESSES_MAX];
        const pid_t self = getpid();
        size_t n = 0;
        bool more = true;
        struct dirent *e;
        DIR *d = opendir("/proc");

        if (!d)
                return;
        while (n < PROCESSES_MAX && (e = readdir(d)))
                if (isdigit((unsigned char)e->d_name[0])) {
                        all[n].pid = (pid_t)atoi(e->d_name);
                        all[n].ppid = parent_of(all[n].pid);
                        all[n].ours = false;
                        n++;
                }
        closedir(d);
        while (more) {
                more = false;
                for (size_t i = 0; i < n; i++) {
                        bool ours = all[i].ppid == self;
                        for (size_t k = 0; !ours && k < n; k++)
                                ours = all[k].ours && all[k].pid == all[i].ppid;
                        if (ours && !all[i].ours) {
                                all[i].ours = true;
                                more = true;
                                kill(all[i].pid, SIGKILL);
                        }
                }
        }
}

/* Returns when no descendant is left. */
static void cut_power(struct pc *pc) {
        pc->program = 0;
        for (;;) {
                pid_t pid = waitpid(-1, NULL, WNOHANG);
                if (pid < 0 && errno == ECHILD)
                        return;
                if (pid == 0) {
                        /* again each time: one of them may have forked before its turn came */
                        kill_descendants();
                        poll(NULL, 0, 1);
                }
        }
}

static void program_start(struct pc *pc) {
        pid_t pid = fork();

        if (pid < 0) {
                say("fork failed, trying again");
                pc->power = POWER_RESTARTING;
                pc->when = now_ms() + RESTART_MS;
                return;
        }
        if (pid == 0) {
                sigprocmask(SIG_SETMASK, &pc->inherited, NULL);
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                execvp(pc->argv[0], pc->argv);
                fprintf(stderr, "rota-lab-pc: cannot run %s: %m\n", pc->argv[0]);
                _exit(CONFIG_STATUS);
        }
        pc->program = pid;
        pc->power = POWER_ON;
}

static void boot(struct pc *pc) {
        int r = boot_id_write(pc->boot_id_file);
        if (r < 0) {
                fprintf(stderr, "rota-lab-pc: %s: %s\n", pc->boot_id_file, strerror(-r));
                exit(1);
        }
        program_start(pc);
}

static void reap(struct pc *pc) {
        int status;
        pid_t pid;

        while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
                if (pid != pc->program)
                        continue;
                pc->program = 0;
                if (pc->power == POWER_OFF)
                        continue;
                if (WIFEXITED(status) && WEXITSTATUS(status) == CONFIG_STATUS) {
                        say("the program refuses its configuration; not started again");
                        pc->power = POWER_HALTED;
                        continue;
                }
                say("the program ended, starting it again");
                pc->power = POWER_RESTARTING;
                pc->when = now_ms() + RESTART_MS;
        }
}

static void shut_down(struct pc *pc, int sigfd) {
        const int64_t deadline = now_ms() + SHUTDOWN_MS;
        struct pollfd p = {.fd = sigfd, .events = POLLIN};

        pc->power = POWER_OFF;
        if (pc->program > 0)
                kill(pc->program, SIGTERM);
        while (pc->program > 0 && now_ms() < deadline) {
                struct signalfd_siginfo si;
                if (poll(&p, 1, (int)(deadline - now_ms())) > 0 && read(sigfd, &si, sizeof(si)) > 0)
                        reap(pc);
        }
        cut_power(pc);
}

/* Returns true when it is time to end. */
static bool button(struct pc *pc, uint32_t signal, int sigfd) {
        switch (signal) {
        case SIGUSR1:
                if (pc->power == POWER_OFF)
                        return false;
                say("reset");
                cut_power(pc);
                pc->power = POWER_BOOTING;
                pc->when = now_ms() + pc->boot_ms;
                return false;
        case SIGUSR2:
                say("power off");
                cut_power(pc);
                pc->power = POWER_OFF;
                return false;
        case SIGHUP:
                if (pc->power == POWER_OFF) {
                        say("power on");
                        pc->power = POWER_BOOTING;
                        pc->when = now_ms() + pc->boot_ms;
                }
                return false;
        case SIGCHLD:
                reap(pc);
                return false;
        default:
                shut_down(pc, sigfd);
                return true;
        }
}

static int run(struct pc *pc) {
        sigset_t set;
        int sigfd;

        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        sigaddset(&set, SIGUSR2);
        sigaddset(&set, SIGHUP);
        sigaddset(&set, SIGCHLD);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigprocmask(SIG_BLOCK, &set, &pc->inherited);
        sigfd = signalfd(-1, &set, SFD_CLOEXEC);
        if (sigfd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
                fprintf(stderr, "rota-lab-pc: %m\n");
                return 1;
        }
        boot(pc);
        for (;;) {
                struct pollfd p = {.fd = sigfd, .events = POLLIN};
                struct signalfd_siginfo si;
                const bool timed = pc->power == POWER_BOOTING || pc->power == POWER_RESTARTING;
                int64_t left = timed ? pc->when - now_ms() : -1;

                if (timed && left <= 0) {
                        if (pc->power == POWER_BOOTING)
                                boot(pc);
                        else
                                program_start(pc);
                        continue;
                }
                if (poll(&p, 1, (int)left) > 0 && read(sigfd, &si, sizeof(si)) == sizeof(si) &&
                    button(pc, si.ssi_signo, sigfd))
                        return 0;
        }
}

/* The lock, not the number in the file, says whom to signal. */
static int press(const char *pid_file, int signal) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int fd = open(pid_file, O_RDWR | O_CLOEXEC);

        if (fd < 0 || fcntl(fd, F_GETLK, &lock) < 0) {
                fprintf(stderr, "rota-lab-pc: %s: %m\n", pid_file);
                return 1;
        }
        if (lock.l_type == F_UNLCK) {
                fprintf(stderr, "rota-lab-pc: %s: no simulated PC runs here\n", pid_file);
                return 3;
        }
        if (kill(lock.l_pid, signal) < 0) {
                fprintf(stderr, "rota-lab-pc: pid %d: %m\n", (int)lock.l_pid);
                return 1;
        }
        return 0;
}

/* The descriptor stays open, and the lock with it, until we end. */
static int claim(const char *pid_file) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int fd = open(pid_file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        if (fd < 0)
                return -errno;
        if (fcntl(fd, F_SETLK, &lock) < 0)
                return -EEXIST;
        if (ftruncate(fd, 0) < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
                return -errno;
        return fd;
}

static int usage(void) {
        fputs("usage: rota-lab-pc --boot-id-file FILE --pid-file FILE [--boot-time MS]\n"
              "                   [--die-with-parent] -- PROGRAM ARG…\n"
              "       rota-lab-pc --reset|--off|--on PIDFILE\n",
              stderr);
        return 2;
}

int main(int argc, char **argv) {
        static const struct option options[] = {
                {"boot-id-file",     required_argument, NULL, 'b'},
                {"pid-file",              required_argument, NULL, 'p'},
                {"boot-time",                  required_argument, NULL, 't'},
                {"die-with-parent",no_argument, NULL, 'd'},
                {"reset",               required_argument, NULL, SIGUSR1},
                {"off",        required_argument, NULL, SIGUSR2},
                {"on",              required_argument, NULL, SIGHUP},
                {0                 },
        };
        struct pc pc = {.boot_ms = 1000};
        const char *pid_file = NULL;
        bool die_with_parent = false;
        int r, c;

        while ((c = getopt_long(argc, argv, "+", options, NULL)) != -1)
                switch (c) {
                case 'b':
                        pc.boot_id_file = optarg;
                        break;
                case 'p':
                        pid_file = optarg;
                        break;
                case 't':
                        pc.boot_ms = atoi(optarg);
                        break;
                case 'd':
                        die_with_parent = true;
                        break;
                case SIGUSR1:
                case SIGUSR2:
                case SIGHUP:
                        return press(optarg, c);
                default:
                        return usage();
                }
        if (!pc.boot_id_file || !pid_file || optind >= argc)
                return usage();
        pc.argv = argv + optind;
        if (die_with_parent)
                prctl(PR_SET_PDEATHSIG, SIGTERM);
        r = claim(pid_file);
        if (r < 0) {
                fprintf(stderr, "rota-lab-pc: %s: %s\n", pid_file,
                        r == -EEXIST ? "another one runs here" : strerror(-r));
                return 1;
        }
        return run(&pc);
}
