#include "proto/base/id.h"

#include <errno.h>
#include <stdint.h>
#include <sys/random.h>

int id_new(char ret_id[static ID_SIZE]) {
        static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
        uint64_t bits;
        ssize_t n;

        do
                n = getrandom(&bits, sizeof(bits), 0);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        if (n != sizeof(bits))
                return -EIO;
        for (size_t i = 0; i < ID_LEN; i++) {
                ret_id[i] = digits[bits & 31];
                bits >>= 5;
        }
        ret_id[ID_LEN] = '\0';
        return 0;
}

bool id_valid(const char *id) {
        size_t len = 0;

        if (id[0] == '.' || id[0] == '-')
                return false;
        for (; id[len] != '\0'; len++) {
                char c = id[len];

                if (len >= ID_MAX)
                        return false;
                if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '.' || c == '_' || c == '-'))
                        return false;
        }
        return len > 0;
}
