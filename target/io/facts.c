#include "target/io/facts.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static int file_head(const char *path, char *ret, size_t size) {
        CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        ssize_t n = read(fd, ret, size - 1);
        if (n < 0)
                return -errno;
        ret[n] = '\0';
        return 0;
}

int facts_boot_id(const char *path, char ret[static FACTS_BOOT_SIZE]) {
        char text[FACTS_BOOT_SIZE];
        int r = file_head(path, text, sizeof(text));
        if (r < 0)
                return r;
        size_t len = strcspn(text, "\n");
        text[len] = '\0';
        if (len == 0)
                return -EINVAL;
        for (size_t i = 0; i < len; i++)
                if (!isalnum((unsigned char)text[i]) && text[i] != '-')
                        return -EINVAL;
        memcpy(ret, text, len + 1);
        return 0;
}

int facts_host_name(struct buf *out) {
        char name[256] = "";
        if (gethostname(name, sizeof(name) - 1) < 0)
                return -errno;
        return buf_puts(out, name);
}

int facts_system(struct buf *out) {
        char text[2048];
        struct utsname u;

        if (file_head("/etc/os-release", text, sizeof(text)) == 0) {
                char *at = strstr(text, "PRETTY_NAME=\"");
                if (at) {
                        at += strlen("PRETTY_NAME=\"");
                        at[strcspn(at, "\"\n")] = '\0';
                        buf_printf(out, "%s, ", at);
                }
        }
        if (uname(&u) < 0)
                return -errno;
        return buf_printf(out, "%s %s %s", u.sysname, u.release, u.machine);
}

bool facts_has_program(const char *program) {
        const char *env = getenv("PATH");
        char all[4096], path[4096];

        if (!*program)
                return false;
        if (strchr(program, '/'))
                return access(program, X_OK) == 0;
        /* Diagnostics live in the sbin directories, which are not in everybody's PATH. */
        snprintf(all, sizeof(all),
                 "%s:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                 env && strlen(env) < 3000 ? env : "");
        char *rest = all;
        for (char *dir; (dir = strsep(&rest, ":"));) {
                if (*dir != '/')
                        continue;
                int n = snprintf(path, sizeof(path), "%s/%s", dir, program);
                if (n > 0 && (size_t)n < sizeof(path) && access(path, X_OK) == 0)
                        return true;
        }
        return false;
}
