/* Preloaded into a receiver: while the file named by EIO_TRIGGER is there, writing and syncing files below EIO_FOLDER fails. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static int fails(int fd) {
    const char *trigger = getenv("EIO_TRIGGER"), *folder = getenv("EIO_FOLDER");
    if (!trigger || !folder || access(trigger, F_OK) != 0) return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path);
    size_t prefix = strlen(folder);
    return length >= (ssize_t)prefix && strncmp(path, folder, prefix) == 0;
}

#define FAILING(result, name, parameters, arguments)                  \
    result name parameters {                                          \
        static result(*real) parameters;                              \
        if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name);         \
        if (fails(fd)) {                                              \
            errno = EIO;                                              \
            return -1;                                                \
        }                                                             \
        return real arguments;                                        \
    }

FAILING(ssize_t, write, (int fd, const void *bytes, size_t count), (fd, bytes, count))
FAILING(ssize_t, writev, (int fd, const struct iovec *pieces, int count), (fd, pieces, count))
FAILING(int, fsync, (int fd), (fd))
FAILING(int, fdatasync, (int fd), (fd))
