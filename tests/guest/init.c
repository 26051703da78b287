/* Process 1 of the test guest (User-Mode Linux; tests/guest/run starts it).
 *
 * The root file system is the host's, read-only. Init lays a tmpfs over it, gives the guest its own
 * /proc, /sys, /dev, /run and /tmp, runs the shell script "job" of the folder named by WARREN_JOB,
 * writes its exit status to "status" there and powers off. Any trouble before the job leaves no
 * status, which the runner takes for a failure. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum {
    STATUS_NO_SHELL = 127,
    STATUS_SIGNAL_BASE = 128
};

static void power_off(void)
{
    sync();
    (void)reboot(RB_POWER_OFF);
    for (;;)
        (void)pause();
}

static void die(const char *what)
{
    fprintf(stderr, "guest init: %s: %s\n", what, strerror(errno));
    power_off();
}

struct mount_point {
    const char *type;
    const char *target;
    const char *options;
    const char *source;
};

static void mount_one(const struct mount_point *m)
{
    if (mkdir(m->target, 0755) != 0 && errno != EEXIST)
        die(m->target);
    if (mount(m->source != NULL ? m->source : m->type, m->target, m->type, 0, m->options) != 0)
        die(m->target);
}

static void mount_all(const struct mount_point *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        mount_one(&list[i]);
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The overlay becomes the root: whatever the job writes lands in memory. */
static void enter_overlay(const char *job_folder)
{
    static const struct mount_point layers[] = {
        {"tmpfs", "/mnt", "mode=755", NULL},
    };
    static const struct mount_point root[] = {
        {"overlay", "/mnt/root", "lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work", NULL},
        {"proc", "/mnt/root/proc", NULL, NULL},
        {"sysfs", "/mnt/root/sys", NULL, NULL},
        {"devtmpfs", "/mnt/root/dev", "mode=755", NULL},
        {"devpts", "/mnt/root/dev/pts", "ptmxmode=666", NULL},
        {"tmpfs", "/mnt/root/dev/shm", "mode=1777", NULL},
        {"tmpfs", "/mnt/root/run", "mode=755", NULL},
        {"tmpfs", "/mnt/root/tmp", "mode=1777", NULL},
    };
    mount_all(layers, COUNT(layers));
    if (mkdir("/mnt/upper", 0755) != 0 || mkdir("/mnt/work", 0755) != 0)
        die("/mnt");
    mount_all(root, COUNT(root));
    mount_one(&(struct mount_point){"hostfs", "/mnt/root/job", job_folder, "none"});
    if (chroot("/mnt/root") != 0 || chdir("/") != 0)
        die("chroot");
}

static void make_links(void)
{
    static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"},
                                           {"/proc/self/fd/0", "/dev/stdin"},
                                           {"/proc/self/fd/1", "/dev/stdout"},
                                           {"/proc/self/fd/2", "/dev/stderr"}};
    for (size_t i = 0; i < COUNT(links); i++)
        if (symlink(links[i][0], links[i][1]) != 0 && errno != EEXIST)
            die(links[i][1]);
    (void)mkdir("/dev/net", 0755);
}

static void loopback_up(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) != 0)
        die("loopback");
    (void)close(fd);
}

/* The console is the runner's standard output: no echo, no newline translation. */
static void console_raw(void)
{
    struct termios t;
    if (tcgetattr(STDIN_FILENO, &t) != 0)
        return;
    cfmakeraw(&t);
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &t);
}

static void run_job(void)
{
    static char *const environment[] = {
        "HOME=/root", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "TERM=dumb", NULL};
    (void)setsid();
    (void)close(STDIN_FILENO);
    if (open("/dev/null", O_RDONLY) == STDIN_FILENO)
        (void)execle("/bin/bash", "bash", "/job/job", (char *)NULL, environment);
    _exit(STATUS_NO_SHELL);
}

/* Waits for the job and reaps whatever else ends up with process 1. */
static int await(pid_t job)
{
    for (;;) {
        int status;
        pid_t ended = wait(&status);
        if (ended < 0 && errno != EINTR)
            die("wait");
        if (ended == job)
            return WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_SIGNAL_BASE + WTERMSIG(status);
    }
}

static void report(int status)
{
    FILE *f = fopen("/job/status", "w");
    if (f == NULL || fprintf(f, "%d\n", status) < 0 || fclose(f) != 0)
        die("/job/status");
}

int main(void)
{
    const char *job_folder = getenv("WARREN_JOB");
    if (job_folder == NULL) {
        errno = EINVAL;
        die("WARREN_JOB");
    }
    console_raw();
    enter_overlay(job_folder);
    make_links();
    loopback_up();
    (void)sethostname("guest", strlen("guest"));
    pid_t job = fork();
    if (job < 0)
        die("fork");
    if (job == 0)
        run_job();
    report(await(job));
    power_off();
}
