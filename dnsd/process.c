#include "dnsd/process.h"

#include "dnsd/directives.h"
#include "dnsd/file.h"
#include "dnsd/gotext.h"
#include "dnsd/instance.h"
#include "dnsd/rcu.h"
#include "dnsd/sockets.h"
#include "dnsd/tcp.h"

#include "base/log.h"
#include "base/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

enum {
    EXIT_STOPPED = 0,
    EXIT_START_FAILED = 1,
    EXIT_FORCED = 2,
    PROCESS_MIN_FILES = 32,
};

enum signal_index {
    ON_TERM,
    ON_INT,
    ON_QUIT,
    ON_USR1,
    ON_USR2,
    SIGNAL_COUNT,
};

static const int signal_numbers[SIGNAL_COUNT] = {SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2};

struct process {
    const struct process_options *options;
    struct dnsd dnsd;
    struct instance *instance; /* NULL: no DNS */
    struct member *member;     /* NULL: no registry */
    uv_loop_t loop;
    bool has_loop;
    uv_signal_t signals[SIGNAL_COUNT];
    uv_async_t reload_wanted;
    uv_async_t retired; /* the instance's stop hooks have run */
    pthread_t retirer;
    bool is_stopping;
    bool has_dns;       /* there is a Corefile, or CoreDNS's default */
    struct strbuf text; /* the Corefile that is being served */
    const char *name;   /* what messages call it */
    const char *path;   /* to read it again; NULL: it came from standard input, or is the default */

    pthread_mutex_t lock; /* the rest */
    struct strbuf wanted;
    bool is_wanted;
    process_reload_failed_fn *failed;
    void *failed_context;
};

/* --- the Corefile's source -------------------------------------------------------------------- */

static bool stdin_is_piped(void)
{
    struct stat st;
    return fstat(STDIN_FILENO, &st) == 0 && !S_ISCHR(st.st_mode);
}

/* Where the Corefile comes from, and its text. Messages as CoreDNS's. */
static enum err load_source(struct process *p, struct strbuf *error)
{
    const char *conf = p->options->conf;
    struct strbuf why = STRBUF_EMPTY;
    enum err e = OK;
    p->name = "Corefile";
    if (conf == NULL || conf[0] == '\0') {
        if (access("Corefile", F_OK) == 0 || errno != ENOENT) {
            p->path = "Corefile";
            e = file_read(p->path, CORE_FILE_MAX_SIZE, &p->text, &why);
            if (e != OK)
                strbuf_add_format(error, "loading Caddyfile via default: %s", strbuf_str(&why));
        }
    } else if (strcmp(conf, "stdin") == 0) {
        if (stdin_is_piped()) {
            p->name = "/dev/stdin";
            e = file_read_fd(STDIN_FILENO, p->name, CORE_FILE_MAX_SIZE, &p->text, &why);
        }
        if (e != OK)
            strbuf_add_format(error, "loading Caddyfile via flag: %s", strbuf_str(&why));
    } else {
        p->name = p->path = conf;
        e = file_read(conf, CORE_FILE_MAX_SIZE, &p->text, &why);
        if (e != OK)
            strbuf_add_format(error, "loading Caddyfile via flag: %s", strbuf_str(&why));
    }
    strbuf_fini(&why);
    return e;
}

enum err process_read_source(struct process *p, struct strbuf *text, struct strbuf *error)
{
    if (p->path != NULL)
        return file_read(p->path, CORE_FILE_MAX_SIZE, text, error);
    pthread_mutex_lock(&p->lock);
    strbuf_add(text, strbuf_str(&p->text), p->text.size);
    pthread_mutex_unlock(&p->lock);
    return text->failed ? ERR_NO_MEMORY : OK;
}

const char *process_source_name(const struct process *p)
{
    return p->name;
}

/* --- the registry ----------------------------------------------------------------------------- */

static enum err open_member(struct process *p, struct strbuf *error)
{
    if (p->member != NULL)
        return OK;
    enum err e = member_open(&p->member, &p->options->member, &p->loop, p->dnsd.metrics, error);
    if (e == OK) {
        p->dnsd.store = member_store(p->member);
        p->dnsd.data_dir = member_data_dir(&p->options->member);
    }
    return e;
}

enum err process_need_store(struct process *p, struct strbuf *error)
{
    bool was_open = p->member != NULL;
    enum err e = open_member(p, error);
    /* At the start it is described with the zones; a reload that opens it, whether it succeeds in
     * the end or not, has no such lines. */
    if (e == OK && !was_open && p->instance != NULL) {
        struct strbuf line = STRBUF_EMPTY;
        member_describe(p->member, &line);
        log_line(LOG_INFO, "%.*s", (int)line.size - 1, strbuf_str(&line));
        strbuf_fini(&line);
    }
    return e;
}

static void close_member(struct process *p)
{
    if (p->member != NULL)
        member_close(p->member);
    p->member = NULL;
    p->dnsd.store = NULL;
    p->dnsd.data_dir = NULL;
}

/* --- reload ----------------------------------------------------------------------------------- */

/* CoreDNS's Instance.Restart. The error's text is the bare reason. */
static enum err restart(struct process *p, const char *text, size_t size, struct strbuf *error)
{
    log_line(LOG_INFO, "Reloading");
    struct instance *next;
    struct strbuf copy = STRBUF_EMPTY;
    strbuf_add(&copy, text, size);
    enum err e = copy.failed ? ERR_NO_MEMORY : OK;
    if (e != OK)
        strbuf_add_str(error, err_text(e));
    if (e == OK)
        e = instance_load(&next, &p->dnsd, p->name, text, size, p->instance, error);
    if (e == OK) {
        e = instance_start(next, error);
        if (e != OK)
            instance_destroy(next);
    }
    if (e != OK) {
        log_line(LOG_ERROR, "Restart failed: %s", strbuf_str(error));
        strbuf_fini(&copy);
        return e;
    }
    struct instance *old = p->instance;
    p->instance = next;
    pthread_mutex_lock(&p->lock);
    strbuf_fini(&p->text);
    p->text = copy;
    pthread_mutex_unlock(&p->lock);
    instance_stop(old, true);
    instance_destroy(old);
    instance_started(next);
    log_line(LOG_INFO, "Reloading complete");
    return OK;
}

static void reload_by_signal(struct process *p)
{
    if (p->is_stopping)
        return;
    log_line(LOG_INFO, "SIGUSR1: Reloading");
    if (p->instance == NULL) {
        log_line(LOG_ERROR, "SIGUSR1: there is no Corefile to load");
        return;
    }
    struct strbuf text = STRBUF_EMPTY, error = STRBUF_EMPTY;
    if (process_read_source(p, &text, &error) != OK)
        log_line(LOG_ERROR, "SIGUSR1: loading updated Caddyfile: %s", strbuf_str(&error));
    else if (restart(p, strbuf_str(&text), text.size, &error) != OK)
        log_line(LOG_ERROR, "SIGUSR1: starting with listener file descriptors: %s",
                 strbuf_str(&error));
    strbuf_fini(&text);
    strbuf_fini(&error);
}

static void reload_by_request(uv_async_t *async)
{
    struct process *p = async->data;
    pthread_mutex_lock(&p->lock);
    bool is_wanted = p->is_wanted;
    struct strbuf text = p->wanted;
    process_reload_failed_fn *failed = p->failed;
    void *context = p->failed_context;
    p->wanted = STRBUF_EMPTY;
    pthread_mutex_unlock(&p->lock);
    if (is_wanted && !p->is_stopping) {
        struct strbuf why = STRBUF_EMPTY, error = STRBUF_EMPTY;
        if (restart(p, strbuf_str(&text), text.size, &why) != OK && failed != NULL) {
            strbuf_add_format(&error, "starting with listener file descriptors: %s",
                              strbuf_str(&why));
            failed(context, strbuf_str(&error));
        }
        strbuf_fini(&why);
        strbuf_fini(&error);
    }
    strbuf_fini(&text);
    pthread_mutex_lock(&p->lock);
    p->is_wanted = false;
    pthread_mutex_unlock(&p->lock);
}

bool process_request_reload(struct process *p, const char *text, size_t size,
                            process_reload_failed_fn *failed, void *context)
{
    bool ok = false;
    pthread_mutex_lock(&p->lock);
    if (!p->is_wanted) {
        strbuf_clear(&p->wanted);
        strbuf_add(&p->wanted, text, size);
        ok = !p->wanted.failed;
        p->is_wanted = ok;
        p->failed = failed;
        p->failed_context = context;
    }
    pthread_mutex_unlock(&p->lock);
    if (ok)
        uv_async_send(&p->reload_wanted);
    return ok;
}

/* --- signals ---------------------------------------------------------------------------------- */

static void remove_pid_file(const struct process *p)
{
    if (p->options->pid_file != NULL)
        (void)unlink(p->options->pid_file);
}

static void close_handle(uv_handle_t *handle, void *context UNUSED)
{
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* The loop runs out of handles. */
static void finish_stop(struct process *p)
{
    if (p->member != NULL)
        member_retire(p->member); /* no client before the directives that write at their end */
    if (p->instance != NULL) {
        instance_stop(p->instance, false);
        instance_destroy(p->instance);
        p->instance = NULL;
    }
    close_member(p);
    for (size_t i = 0; i < SIGNAL_COUNT; i++)
        close_handle((uv_handle_t *)&p->signals[i], NULL);
    close_handle((uv_handle_t *)&p->reload_wanted, NULL);
    close_handle((uv_handle_t *)&p->retired, NULL);
}

static void *retire(void *context)
{
    struct process *p = context;
    instance_retire(p->instance);
    uv_async_send(&p->retired);
    return NULL;
}

static void on_retired(uv_async_t *async)
{
    struct process *p = async->data;
    pthread_join(p->retirer, NULL);
    finish_stop(p);
}

/* What directives do at the end may take long (health's lameduck), and the loop has to answer TCP
 * meanwhile: so it is done on a thread of its own, without one on this. */
static void stop(struct process *p)
{
    if (p->is_stopping)
        return;
    p->is_stopping = true;
    remove_pid_file(p);
    if (p->instance == NULL) {
        finish_stop(p);
        return;
    }
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&p->retirer, NULL, retire, p);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed != 0)
        finish_stop(p);
}

static void quit(struct process *p, int code)
{
    remove_pid_file(p);
    _exit(code);
}

/* A second interrupt, whatever the loop is doing. */
static void force_quit(int number UNUSED)
{
    static const char line[] = "[INFO] SIGINT: Force quit\n";
    ssize_t ignored = write(STDOUT_FILENO, line, sizeof(line) - 1);
    (void)ignored;
    _exit(EXIT_FORCED);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct process *p = handle->data;
    switch (number) {
    case SIGTERM:
        log_line(LOG_INFO, "SIGTERM: Shutting down servers then terminating");
        stop(p);
        break;
    case SIGINT:
        log_line(LOG_INFO, "SIGINT: Shutting down");
        signal(SIGINT, force_quit);
        stop(p);
        break;
    case SIGQUIT:
        log_line(LOG_INFO, "SIGQUIT: Quitting process immediately");
        quit(p, EXIT_STOPPED);
        break;
    case SIGUSR1:
        reload_by_signal(p);
        break;
    case SIGUSR2:
        log_line(LOG_INFO, "SIGUSR2: Upgrading");
        log_line(LOG_ERROR, "SIGUSR2: upgrading: not available, restart the process instead");
        break;
    default:
        break;
    }
}

/* The end during the start, with nothing to stop yet. */
static void end_start(int number)
{
    static const char on_term[] = "[INFO] SIGTERM: Shutting down servers then terminating\n";
    static const char on_int[] = "[INFO] SIGINT: Shutting down\n";
    bool is_term = number == SIGTERM;
    ssize_t ignored = write(STDOUT_FILENO, is_term ? on_term : on_int,
                            is_term ? sizeof(on_term) - 1 : sizeof(on_int) - 1);
    (void)ignored;
    _exit(EXIT_STOPPED);
}

/* Fails when descriptors run out. */
static enum err watch_signals(struct process *p)
{
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    p->reload_wanted.data = p->retired.data = p;
    int failed = uv_async_init(&p->loop, &p->reload_wanted, reload_by_request);
    if (failed == 0)
        failed = uv_async_init(&p->loop, &p->retired, on_retired);
    for (size_t i = 0; failed == 0 && i < SIGNAL_COUNT; i++) {
        p->signals[i].data = p;
        failed = uv_signal_init(&p->loop, &p->signals[i]);
        if (failed == 0 && signal_numbers[i] != SIGTERM && signal_numbers[i] != SIGINT)
            failed = uv_signal_start(&p->signals[i], on_signal, signal_numbers[i]);
    }
    /* These must work while the start waits for something, before the loop runs. */
    signal(SIGTERM, end_start);
    signal(SIGINT, end_start);
    return failed == 0 ? OK : err_from_errno(-failed);
}

static enum err watch_end_signals(struct process *p)
{
    int failed = uv_signal_start(&p->signals[ON_TERM], on_signal, SIGTERM);
    if (failed == 0)
        failed = uv_signal_start(&p->signals[ON_INT], on_signal, SIGINT);
    return failed == 0 ? OK : err_from_errno(-failed);
}

/* --- life ------------------------------------------------------------------------------------- */

/* One UDP worker for each processor that this process may run on. */
static size_t worker_count(void)
{
    cpu_set_t allowed;
    int count = sched_getaffinity(0, sizeof(allowed), &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
    if (count < 1)
        return 1;
    return count < SOCKETS_MAX_UDP_WORKERS ? (size_t)count : SOCKETS_MAX_UDP_WORKERS;
}

static void write_pid_file(const struct process *p)
{
    const char *path = p->options->pid_file;
    if (path == NULL)
        return;
    FILE *f = fopen(path, "we");
    bool ok = f != NULL && fprintf(f, "%ld\n", (long)getpid()) > 0;
    int saved = errno;
    if (f != NULL && fclose(f) != 0) {
        ok = false;
        saved = errno;
    }
    if (!ok) {
        struct strbuf text = STRBUF_EMPTY;
        errno_text_add(&text, saved);
        log_line(LOG_ERROR, "Could not write pidfile: open %s: %s", path, strbuf_str(&text));
        strbuf_fini(&text);
    }
}

void process_version(struct strbuf *out)
{
    /* What a user of CoreDNS greps for, then what this really is. */
    strbuf_add_str(out, "CoreDNS-1.11.1\nlinux/"
#if defined(__x86_64__)
                        "amd64"
#elif defined(__aarch64__)
                        "arm64"
#elif defined(__arm__)
                        "arm"
#else
                        "unknown"
#endif
                        ", warren, " WARREN_VERSION "\n");
}

static int compare_text(const void *a, const void *b)
{
    const char *const *sa = a, *const *sb = b;
    return strcmp(*sa, *sb);
}

void process_plugins(struct strbuf *out)
{
    strbuf_add_str(
        out, "Server types:\n  dns\n\nCaddyfile loaders:\n  flag\n  default\n\nOther plugins:\n");
    const char **names = calloc(directive_count, sizeof(*names));
    size_t count = 0;
    for (size_t i = 0; names != NULL && i < directive_count; i++)
        if (directives[i].setup != NULL)
            names[count++] = directives[i].name;
    if (names != NULL)
        qsort(names, count, sizeof(*names), compare_text);
    for (size_t i = 0; i < count; i++)
        strbuf_add_format(out, "  dns.%s\n", names[i]);
    strbuf_add_char(out, '\n');
    free(names);
}

static void print(struct strbuf *text)
{
    log_raw(strbuf_str(text), text->size);
    strbuf_clear(text);
}

/* The registry that the command line wants. One that only a directive wants is opened by it. */
static enum err start_member(struct process *p, struct strbuf *error)
{
    bool is_default_text = p->text.size == 0 && p->path == NULL;
    bool is_wanted =
        member_options_given(&p->options->member) || (p->options->is_bare && is_default_text);
    p->has_dns = !is_wanted || !is_default_text || p->options->has_default_port;
    return is_wanted ? open_member(p, error) : OK;
}

static enum err start_instance(struct process *p, struct strbuf *error)
{
    enum err e = instance_load(&p->instance, &p->dnsd, p->name, strbuf_str(&p->text), p->text.size,
                               NULL, error);
    if (e != OK)
        return e;
    /* What may wait is over: from here on an end is a graceful one, by the loop. */
    e = watch_end_signals(p);
    if (e == OK)
        e = instance_start(p->instance, error);
    if (e != OK) {
        instance_destroy(p->instance);
        p->instance = NULL;
    }
    return e;
}

static void describe(struct process *p)
{
    if (p->options->quiet)
        return;
    struct strbuf lines = STRBUF_EMPTY;
    if (p->member != NULL)
        member_describe(p->member, &lines);
    if (p->instance != NULL)
        instance_describe(p->instance, &lines);
    print(&lines);
    strbuf_fini(&lines);
}

static enum err start(struct process *p, struct strbuf *error)
{
    enum err e = load_source(p, error);
    if (e == OK)
        e = start_member(p, error);
    if (e == OK)
        e = p->has_dns ? start_instance(p, error) : watch_end_signals(p);
    if (e != OK)
        return e;
    describe(p);
    write_pid_file(p);
    if (p->instance != NULL)
        instance_started(p->instance);
    struct strbuf lines = STRBUF_EMPTY;
    process_version(&lines);
    if (!p->options->quiet)
        print(&lines);
    strbuf_fini(&lines);
    return OK;
}

/* libuv aborts the process when it cannot open what its loop needs. */
static enum err check_files(struct strbuf *error)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_max >= PROCESS_MIN_FILES)
        return OK;
    strbuf_add_format(error,
                      "warrend: only %llu files may be open (ulimit -n), at least %d are needed",
                      (unsigned long long)files.rlim_max, PROCESS_MIN_FILES);
    return ERR_LIMIT;
}

static enum err process_init(struct process *p, const struct process_options *options,
                             struct strbuf *error)
{
    p->options = options;
    pthread_mutex_init(&p->lock, NULL);
    enum err e = check_files(error);
    if (e != OK)
        return e;
    tcp_pool_raise_files();
    int failed = uv_loop_init(&p->loop);
    if (failed != 0)
        return err_from_errno(-failed);
    p->has_loop = true;
    p->dnsd.workers = worker_count();
    p->dnsd.default_port = options->default_port;
    p->dnsd.process = p;
    e = metrics_create(&p->dnsd.metrics);
    if (e == OK)
        e = tcp_pool_create(&p->dnsd.pool, &p->loop);
    p->dnsd.loop = &p->loop;
    return e;
}

static void process_fini(struct process *p)
{
    tcp_pool_destroy(p->dnsd.pool);
    if (p->dnsd.metrics != NULL)
        metrics_destroy(p->dnsd.metrics);
    if (p->has_loop)
        (void)uv_loop_close(&p->loop);
    strbuf_fini(&p->text);
    strbuf_fini(&p->wanted);
    pthread_mutex_destroy(&p->lock);
}

int process_run(const struct process_options *options)
{
    struct process *p = calloc(1, sizeof(*p));
    struct strbuf error = STRBUF_EMPTY;
    int code = EXIT_START_FAILED;
    if (p == NULL) {
        fprintf(stderr, "warrend: %s\n", err_text(ERR_NO_MEMORY));
        return code;
    }
    rcu_register_thread();
    enum err e = process_init(p, options, &error);
    if (e == OK)
        e = watch_signals(p);
    if (e == OK)
        e = start(p, &error);
    if (e != OK && error.size == 0)
        strbuf_add_format(&error, "warrend: %s", err_text(e));
    if (e == OK) {
        if (p->member == NULL && !instance_listens(p->instance))
            stop(p); /* CoreDNS, too, is done when nothing is left to serve */
        uv_run(&p->loop, UV_RUN_DEFAULT);
        code = EXIT_STOPPED;
    } else {
        fprintf(stderr, "%s\n", strbuf_str(&error));
        close_member(p);
        if (p->has_loop) {
            uv_walk(&p->loop, close_handle, NULL);
            uv_run(&p->loop, UV_RUN_DEFAULT);
        }
    }
    process_fini(p);
    rcu_unregister_thread();
    strbuf_fini(&error);
    free(p);
    return code;
}
