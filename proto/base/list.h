/*
 * Intrusive circular doubly linked list. The head is a `struct list` of its own; an element embeds one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct list {
        struct list *prev;
        struct list *next;
};

#define LIST_INIT(name)                                                                            \
        (struct list) {                                                                            \
                .prev = &(name), .next = &(name)                                                   \
        }

#define list_entry(at, type, member) ((type *)((char *)(at)-offsetof(type, member)))

static inline void list_init(struct list *l) {
        l->prev = l->next = l;
}

static inline bool list_empty(const struct list *head) {
        return head->next == head;
}

/* Inserts @item last. */
static inline void list_append(struct list *head, struct list *item) {
        item->prev = head->prev;
        item->next = head;
        head->prev->next = item;
        head->prev = item;
}

/* Inserts @item before @at. */
static inline void list_before(struct list *at, struct list *item) {
        list_append(at, item);
}

/* Unlinks; harmless on an initialised, unlinked item. */
static inline void list_remove(struct list *item) {
        item->prev->next = item->next;
        item->next->prev = item->prev;
        list_init(item);
}

#define list_foreach(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)

/* The current element may be unlinked or freed in the body. */
#define list_foreach_safe(it, head)                                                                \
        for (struct list *it = (head)->next, *it##_next = it->next; it != (head);                  \
             it = it##_next, it##_next = it->next)
