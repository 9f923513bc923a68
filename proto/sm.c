#include "proto/sm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An answer each so many stanzas keeps the server's view of us fresh and costs nothing. */
#define ASK_EVERY 64

void sm_init(struct sm *s) {
        *s = (struct sm){0};
}

void sm_enabling(struct sm *s) {
        *s = (struct sm){.state = SM_ENABLING};
}

void sm_received(struct sm *s) {
        if (s->state == SM_ON)
                s->in++;
}

void sm_sent(struct sm *s, size_t n) {
        if (s->state != SM_OFF)
                s->out += (uint32_t)n;
}

bool sm_ask_due(const struct sm *s) {
        return s->state == SM_ON && !s->asking && s->out - s->out_asked >= ASK_EVERY;
}

void sm_asked(struct sm *s) {
        s->asking = true;
        s->out_asked = s->out;
}

static int parse_h(const char *h, uint32_t *ret) {
        unsigned long value;
        char *end;

        if (!h || *h < '0' || *h > '9')
                return SM_BAD_ACK;
        errno = 0;
        value = strtoul(h, &end, 10);
        if (errno != 0 || *end || value > UINT32_MAX)
                return SM_BAD_ACK;
        *ret = (uint32_t)value;
        return 0;
}

static int element_a(struct sm *s, const char *h) {
        uint32_t value;
        int r;

        r = parse_h(h, &value);
        if (r != 0)
                return r;
        /* in the arithmetic of a counter that wraps: acked <= value <= out */
        if (value - s->acked > s->out - s->acked)
                return SM_BAD_ACK;
        s->acked = value;
        s->asking = false;
        return 0;
}

int sm_element(struct sm *s, const char *name, const char *h) {
        if (strcmp(name, "enabled") == 0 && s->state == SM_ENABLING) {
                s->state = SM_ON;
                return 0;
        }
        if (strcmp(name, "failed") == 0 && s->state == SM_ENABLING) {
                s->state = SM_OFF;
                return SM_REFUSED;
        }
        if (strcmp(name, "r") == 0 && s->state == SM_ON)
                return SM_ANSWER;
        if (strcmp(name, "a") == 0 && s->state == SM_ON)
                return element_a(s, h);
        return SM_UNKNOWN;
}

size_t sm_answer(const struct sm *s, char ret[static SM_ANSWER_SIZE]) {
        return (size_t)snprintf(ret, SM_ANSWER_SIZE, "<a xmlns='" NS_SM "' h='%" PRIu32 "'/>",
                                s->in);
}

/* The end of the tag that begins at @at ('<'): the '>' that is not inside a quoted value. */
static const char *tag_end(const char *at, const char *end) {
        char quote = 0;

        for (; at < end; at++) {
                if (quote) {
                        if (*at == quote)
                                quote = 0;
                } else if (*at == '\'' || *at == '"') {
                        quote = *at;
                } else if (*at == '>') {
                        return at;
                }
        }
        return NULL;
}

size_t sm_count_stanzas(const char *text, size_t len) {
        const char *end = text + len;
        size_t depth = 0, n = 0;

        for (const char *at = text; at < end; at++) {
                const char *close;

                at = memchr(at, '<', (size_t)(end - at));
                if (!at)
                        break;
                close = tag_end(at, end);
                if (!close)
                        break;
                if (at[1] == '/') {
                        if (depth > 0 && --depth == 0)
                                n++;
                } else if (close[-1] == '/') {
                        n += depth == 0;
                } else {
                        depth++;
                }
                at = close;
        }
        return n;
}
