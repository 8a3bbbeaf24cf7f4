/* Gives a fuzzer its kept inputs, one after the other: what was found once is looked for in every test run. An input is
 * a line of hexadecimal; CORPUS is the file. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MOST = 65536, LINE_MOST = 2 * INPUT_MOST + 2 };

/* Returns 1, or 0 for what is not a hexadecimal digit. */
static int digit(char c, uint8_t *out)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c) : NULL;

    *out = at ? (uint8_t)(at - digits) : 0;
    return at != NULL;
}

/* Returns 1, or 0 when the line is not an input or the fuzzer says so. */
static int replay(const char *line)
{
    size_t size = strcspn(line, "\n") / 2;
    uint8_t *data = malloc(size ? size : 1), high, low; /* exactly as long, so that a read past the end is seen */
    int good = data && size > 0;

    for (size_t i = 0; good && i < size; i++) {
        good = digit(line[2 * i], &high) && digit(line[2 * i + 1], &low);
        data[i] = (uint8_t)(high << 4 | low);
    }
    if (good) good = LLVMFuzzerTestOneInput(data, size) == 0;
    free(data);
    return good;
}

int main(void)
{
    static char line[LINE_MOST];
    FILE *file = fopen(CORPUS, "r");
    unsigned passed = 0, failed = 0;

    if (!file) {
        fprintf(stderr, "no inputs in %s\n", CORPUS);
        return 1;
    }
    while (fgets(line, sizeof line, file)) {
        if (replay(line))
            passed++;
        else
            failed++;
    }
    fclose(file);
    printf("%s: %u passed, %u failed\n", strrchr(CORPUS, '/') + 1, passed, failed);
    return failed != 0 || passed == 0;
}
