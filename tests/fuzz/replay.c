/*
 * Runs a fuzz target over the files of a folder: each whole, and cut at every length (large ones at 4,096 places).
 */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CUTS 4096

/* In memory of its own size, so that a sanitizer sees a read past the end. */
static void run(const uint8_t *data, size_t size) {
        uint8_t *copy = malloc(size > 0 ? size : 1);

        if (!copy)
                abort();
        memcpy(copy, data, size);
        LLVMFuzzerTestOneInput(copy, size);
        free(copy);
}

static size_t replay(const char *path) {
        static uint8_t data[1024 * 1024];
        FILE *file = fopen(path, "re");
        size_t size, step;

        if (!file) {
                perror(path);
                exit(1);
        }
        size = fread(data, 1, sizeof(data), file);
        fclose(file);
        step = size / CUTS + 1;
        for (size_t cut = 0; cut < size; cut += step)
                run(data, cut);
        run(data, size);
        return size;
}

int main(int argc, char **argv) {
        size_t files = 0, bytes = 0;

        for (int i = 1; i < argc; i++) {
                DIR *dir = opendir(argv[i]);
                struct dirent *entry;

                if (!dir) {
                        perror(argv[i]);
                        return 1;
                }
                while ((entry = readdir(dir))) {
                        char path[4096];

                        if (entry->d_name[0] == '.')
                                continue;
                        snprintf(path, sizeof(path), "%s/%s", argv[i], entry->d_name);
                        bytes += replay(path);
                        files++;
                }
                closedir(dir);
        }
        printf("%zu files, %zu bytes\n", files, bytes);
        return files > 0 ? 0 : 1;
}
