#include "controller/cli/changes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void free_lines(struct changes_line *lines, size_t n) {
        for (size_t i = 0; i < n; i++) {
                free(lines[i].name);
                free(lines[i].text);
        }
        free(lines);
}

void changes_done(struct changes *c) {
        free_lines(c->last, c->n_last);
        free_lines(c->next, c->n_next);
        *c = (struct changes){0};
}

const char *changes_gone(struct changes *c, const char *name) {
        if (c->at == c->n_last || (name && strcmp(c->last[c->at].name, name) >= 0))
                return NULL;
        return c->last[c->at++].name;
}

static void keep(struct changes *c, const char *name, const char *text) {
        if (c->n_next == c->cap_next) {
                size_t cap = c->cap_next ? c->cap_next * 2 : 16;
                struct changes_line *grown = realloc(c->next, cap * sizeof(*grown));

                if (!grown) {
                        c->failed = true;
                        return;
                }
                c->next = grown;
                c->cap_next = cap;
        }
        c->next[c->n_next] = (struct changes_line){strdup(name), strdup(text)};
        c->failed |= !c->next[c->n_next].name || !c->next[c->n_next].text;
        c->n_next++;
}

bool changes_put(struct changes *c, const char *name, const char *text) {
        bool known = c->at < c->n_last && strcmp(c->last[c->at].name, name) == 0;
        bool same = known && strcmp(c->last[c->at].text, text) == 0;

        c->at += known;
        keep(c, name, text);
        return !same;
}

int changes_end(struct changes *c) {
        int r = c->failed ? -ENOMEM : 0;

        free_lines(c->last, c->n_last);
        c->last = c->next;
        c->n_last = c->n_next;
        c->next = NULL;
        c->n_next = c->cap_next = c->at = 0;
        return r;
}
