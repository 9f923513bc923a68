#include "controller/results/diff.h"

#include <errno.h>
#include <string.h>

struct entry {
        const struct result *r;
        size_t index; /* in its run */
        size_t nth;   /* of those of the same name */
};

static int by_text(const char *a, const char *b) {
        return strcmp(a ? a : "", b ? b : "");
}

static int by_name(const struct entry *a, const struct entry *b) {
        int c;

        if (a->r->step != b->r->step)
                return a->r->step < b->r->step ? -1 : 1;
        if (a->r->kind != b->r->kind)
                return a->r->kind < b->r->kind ? -1 : 1;
        c = by_text(a->r->suite, b->r->suite);
        return c != 0 ? c : by_text(a->r->name, b->r->name);
}

static int by_name_and_index(const void *left, const void *right) {
        const struct entry *a = left, *b = right;
        int c = by_name(a, b);

        return c != 0 ? c : a->index < b->index ? -1 : a->index > b->index;
}

static int by_name_and_nth(const struct entry *a, const struct entry *b) {
        int c = by_name(a, b);

        return c != 0 ? c : a->nth < b->nth ? -1 : a->nth > b->nth;
}

/* The items that are compared, by name. NULL: no memory. */
static struct entry *sorted(const struct report_run *run, size_t *ret_n) {
        struct entry *all = calloc(run->n_items + 1, sizeof(*all));
        size_t n = 0;

        if (!all)
                return NULL;
        for (size_t i = 0; i < run->n_items; i++)
                if (run->items[i].kind != RESULT_SUITE)
                        all[n++] = (struct entry){.r = &run->items[i], .index = i};
        qsort(all, n, sizeof(*all), by_name_and_index);
        for (size_t i = 1; i < n; i++)
                if (by_name(&all[i - 1], &all[i]) == 0)
                        all[i].nth = all[i - 1].nth + 1;
        *ret_n = n;
        return all;
}

/* Where a row stands in the order of the outputs. */
static const struct result *row_item(const struct diff_row *r) {
        return r->a ? r->a : r->b;
}

static int by_place(const void *left, const void *right) {
        const struct result *a = row_item(left), *b = row_item(right);

        if (a->kind != b->kind)
                return a->kind < b->kind ? -1 : 1;
        if (a->step != b->step)
                return a->step < b->step ? -1 : 1;
        return a->line < b->line ? -1 : a->line > b->line;
}

int diff_runs(const struct report_run *a, const struct report_run *b, struct diff *ret) {
        size_t n = 0, m = 0, i = 0, k = 0;
        CLEANUP(mem_free) struct entry *left = sorted(a, &n), *right = sorted(b, &m);
        CLEANUP(diff_done) struct diff d = {0};

        d.rows = calloc(n + m + 1, sizeof(*d.rows));
        if (!left || !right || !d.rows)
                return -ENOMEM;
        while (i < n || k < m) {
                int c = i == n ? 1 : k == m ? -1 : by_name_and_nth(&left[i], &right[k]);
                struct diff_row row = {0};

                if (c <= 0)
                        row.a = left[i++].r;
                if (c >= 0)
                        row.b = right[k++].r;
                if (c == 0 && row.a->kind == RESULT_TEST) {
                        d.compared++;
                        if (row.a->verdict == row.b->verdict)
                                continue;
                }
                d.rows[d.n++] = row;
        }
        qsort(d.rows, d.n, sizeof(*d.rows), by_place);
        *ret = d;
        d = (struct diff){0};
        return 0;
}

void diff_done(struct diff *d) {
        free(d->rows);
        *d = (struct diff){0};
}
