#include "consensus/member_key.h"

#include "base/encoding.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER "warren member key 1\n"

enum {
    HEADER_SIZE = sizeof(HEADER) - 1,
    FILE_SIZE = HEADER_SIZE + KEY_BASE64_SIZE + 1, /* and a newline */
};

struct member_key {
    uint8_t private_key[MEMBER_KEY_SIZE];
    uint8_t public_key[MEMBER_KEY_SIZE];
    char text[(FILE_SIZE + 1 + 7) / 8 * 8]; /* of the file, while it is read or made */
};

static enum err key_create(struct member_key **out)
{
    if (sodium_init() < 0)
        return ERR_UNSUPPORTED;
    struct member_key *k = sodium_malloc(sizeof(*k));
    if (k == NULL)
        return ERR_NO_MEMORY;
    sodium_memzero(k, sizeof(*k));
    *out = k;
    return OK;
}

static void derive_public(struct member_key *k)
{
    (void)crypto_scalarmult_base(k->public_key, k->private_key);
    sodium_memzero(k->text, sizeof(k->text));
}

enum err member_key_generate(struct member_key **out)
{
    struct member_key *k;
    enum err e = key_create(&k);
    if (e != OK)
        return e;
    randombytes_buf(k->private_key, sizeof(k->private_key));
    derive_public(k);
    *out = k;
    return OK;
}

void member_key_destroy(struct member_key *k)
{
    sodium_free(k);
}

const uint8_t *member_key_public(const struct member_key *k)
{
    return k->public_key;
}

const uint8_t *member_key_private(const struct member_key *k)
{
    return k->private_key;
}

void member_psk_from_token(uint8_t psk[static MEMBER_KEY_SIZE], const char *token)
{
    static const uint8_t personal[] = "warren-join-psk1";
    _Static_assert(sizeof(personal) - 1 == crypto_generichash_blake2b_PERSONALBYTES,
                   "BLAKE2b's personalisation has 16 bytes");
    (void)crypto_generichash_blake2b_salt_personal(psk, MEMBER_KEY_SIZE, (const uint8_t *)token,
                                                   strlen(token), NULL, 0, NULL, personal);
}

/* --- the file --------------------------------------------------------------------------------- */

static enum err fail(struct strbuf *error, const char *path, const char *what)
{
    int error_number = errno;
    strbuf_add_format(error, "%s: %s: %s\n", path, what, strerror(error_number));
    return err_from_errno(error_number);
}

static enum err check_file(int fd, const char *path, struct strbuf *error)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return fail(error, path, "cannot look at the member's key");
    if (!S_ISREG(st.st_mode)) {
        strbuf_add_format(error, "%s: is not a regular file; put the member's key back\n", path);
        return ERR_INVALID;
    }
    if (geteuid() != 0 && st.st_uid != geteuid()) {
        strbuf_add_format(error,
                          "%s: the member's key belongs to user %u, not to the one that runs this "
                          "(%u); chown it\n",
                          path, (unsigned)st.st_uid, (unsigned)geteuid());
        return ERR_PERMISSION;
    }
    if ((st.st_mode & 077) != 0) {
        strbuf_add_format(error,
                          "%s: mode %04o lets others read or change the member's key; chmod it to "
                          "0600, and replace the member if others may have read it\n",
                          path, (unsigned)(st.st_mode & 07777));
        return ERR_PERMISSION;
    }
    return OK;
}

/* At most SIZE bytes; -1 with errno. */
static ssize_t read_all(int fd, char *out, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = read(fd, out + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

static enum err parse(struct member_key *k, size_t size)
{
    if (size != FILE_SIZE || memcmp(k->text, HEADER, HEADER_SIZE) != 0 ||
        k->text[FILE_SIZE - 1] != '\n' ||
        key_from_base64(k->private_key, k->text + HEADER_SIZE, KEY_BASE64_SIZE) != OK ||
        sodium_is_zero(k->private_key, sizeof(k->private_key)))
        return ERR_MALFORMED;
    return OK;
}

static enum err read_key(struct member_key *k, int fd, const char *path, struct strbuf *error)
{
    enum err e = check_file(fd, path, error);
    if (e != OK)
        return e;
    ssize_t size = read_all(fd, k->text, FILE_SIZE + 1);
    if (size < 0)
        return fail(error, path, "cannot read the member's key");
    e = parse(k, (size_t)size);
    if (e != OK)
        strbuf_add_format(error,
                          "%s: is not a member's key (\"warren member key 1\", then 32 bytes in "
                          "base64); restore it from a backup, or replace the member\n",
                          path);
    return e;
}

static enum err write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_from_errno(errno);
        data += n;
        size -= (size_t)n;
    }
    return OK;
}

static enum err sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_from_errno(errno);
    enum err e = fsync(fd) == 0 ? OK : err_from_errno(errno);
    close(fd);
    return e;
}

/* The name appears only with the whole key behind it, so a crash leaves no half of one. */
static enum err write_key(const struct member_key *k, const char *data_dir, const char *path,
                          struct strbuf *error)
{
    char *fresh = NULL;
    if (asprintf(&fresh, "%s.new", path) < 0)
        return ERR_NO_MEMORY;
    (void)unlink(fresh);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    enum err e = fd < 0 ? err_from_errno(errno) : OK;
    if (e == OK && fchmod(fd, 0600) != 0) /* whatever the umask */
        e = err_from_errno(errno);
    if (e == OK)
        e = write_all(fd, k->text, FILE_SIZE);
    if (e == OK && fsync(fd) != 0)
        e = err_from_errno(errno);
    if (fd >= 0)
        close(fd);
    if (e == OK && rename(fresh, path) != 0)
        e = err_from_errno(errno);
    if (e == OK)
        e = sync_folder(data_dir);
    else
        (void)unlink(fresh);
    if (e != OK)
        strbuf_add_format(error, "%s: cannot make the member's key: %s\n", path, err_text(e));
    free(fresh);
    return e;
}

static enum err make_key(struct member_key *k, const char *data_dir, const char *path,
                         struct strbuf *error)
{
    randombytes_buf(k->private_key, sizeof(k->private_key));
    memcpy(k->text, HEADER, HEADER_SIZE);
    key_to_base64(k->text + HEADER_SIZE, k->private_key);
    k->text[FILE_SIZE - 1] = '\n';
    return write_key(k, data_dir, path, error);
}

static enum err open_key(struct member_key *k, const char *data_dir, const char *path, bool make,
                         struct strbuf *error)
{
    /* Not blocking: a FIFO in its place must not hold the start. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        if (make)
            return make_key(k, data_dir, path, error);
        strbuf_add_format(error,
                          "%s: the member's key is not there; restore it from a backup, or remove "
                          "this member from the cluster and add a new one\n",
                          path);
        return ERR_NOT_FOUND;
    }
    if (fd < 0 && errno == ELOOP) {
        strbuf_add_format(error, "%s: is a symbolic link; put the member's key itself there\n",
                          path);
        return ERR_INVALID;
    }
    if (fd < 0)
        return fail(error, path, "cannot open the member's key");
    enum err e = read_key(k, fd, path, error);
    close(fd);
    return e;
}

enum err member_key_open(struct member_key **out, const char *data_dir, bool make,
                         struct strbuf *error)
{
    struct member_key *k;
    char *path = NULL;
    enum err e = key_create(&k);
    if (e != OK)
        return e;
    if (asprintf(&path, "%s/%s", data_dir, MEMBER_KEY_FILE) < 0) {
        member_key_destroy(k);
        return ERR_NO_MEMORY;
    }
    e = open_key(k, data_dir, path, make, error);
    free(path);
    if (e != OK) {
        member_key_destroy(k);
        return e;
    }
    derive_public(k);
    *out = k;
    return OK;
}
