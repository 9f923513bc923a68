#include "tests/support/check.h"

#include "proto/base/list.h"

struct item {
        int n;
        struct list link;
};

static int digits(const struct list *head) {
        int all = 0;

        for (const struct list *at = head->next; at != head; at = at->next) {
                assert_ptr_equal(at->prev->next, at);
                all = all * 10 + list_entry(at, const struct item, link)->n;
        }
        return all;
}

static void test_order(void **state) {
        struct list head = LIST_INIT(head);
        struct item items[4] = {{.n = 1}, {.n = 2}, {.n = 3}, {.n = 4}};

        (void)state;
        assert_true(list_empty(&head));
        list_append(&head, &items[0].link);
        list_append(&head, &items[2].link);
        list_before(&items[2].link, &items[1].link);
        list_before(head.next, &items[3].link);
        assert_int_equal(digits(&head), 4123);
        assert_false(list_empty(&head));
        list_remove(&items[1].link);
        assert_int_equal(digits(&head), 413);
        list_remove(&items[1].link);
        assert_int_equal(digits(&head), 413);
}

static void test_removal_while_walking(void **state) {
        struct list head;
        struct item items[5];
        int seen = 0;

        (void)state;
        list_init(&head);
        for (int i = 0; i < 5; i++) {
                items[i].n = i + 1;
                list_append(&head, &items[i].link);
        }
        list_foreach_safe (at, &head) {
                seen++;
                if (list_entry(at, struct item, link)->n % 2 == 0) {
                        list_remove(at);
                        memset(list_entry(at, struct item, link), 0xff, sizeof(struct item));
                }
        }
        assert_int_equal(seen, 5);
        assert_int_equal(digits(&head), 135);
        seen = 0;
        list_foreach (at, &head)
                seen += list_entry(at, struct item, link)->n;
        assert_int_equal(seen, 9);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_order),
                cmocka_unit_test(test_removal_while_walking),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
