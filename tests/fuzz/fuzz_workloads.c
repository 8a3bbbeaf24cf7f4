/* Any bytes as edits of a table of workloads: four bytes of place and four of value, again and again. Opening it and finding
 * addresses must read nothing outside and end; what a record says is judged against an image whose selectors it names. */
#include <stdlib.h>
#include <string.h>

#include "build/builder.h"
#include "policy/judge.h"
#include "shared/workloads.h"

enum { ADDRESSES = 6, RECORDS = 1024 };

static const char *const ASKED[] = {"10.0.0.1", "10.0.0.2", "::ffff:10.0.0.3", "fd00::1", "10.0.0.9", "8.8.8.8"};

static void require(int condition)
{
    if (!condition) abort();
}

static struct sl_addr address(const char *text)
{
    struct sl_addr found;
    require(sl_addr_parse(text, strlen(text), &found));
    return found;
}

static void put(void *table, const char *addr, const char *account, uint64_t pod, const uint32_t *selectors,
                uint32_t count)
{
    const struct sl_workload_entry entry = {.addr = address(addr),
                                            .pod = pod,
                                            .texts = {"shop", account, "cart-1", "Deployment", ""},
                                            .selectors = selectors,
                                            .selector_count = count};
    require(sl_workloads_put(table, &entry));
}

/* A policy that allows a selection of pods one name, and denies it to another one. */
static void policy(struct sl_image *image, uint32_t selectors[2])
{
    struct sl_builder *b = sl_builder_new();
    struct sl_rule rule = {.tier = SL_TIER_ALLOW};
    uint32_t principal, id, who, attachment;
    enum sl_name_status why;
    uint8_t *data;
    size_t size;
    require(b != NULL);
    for (unsigned i = 0; i < 2; i++, rule.tier = SL_TIER_DENY) {
        sl_builder_principal(b, SL_PRINCIPAL_PODS, "", i ? "app = web" : "app = cart", 0, &principal);
        sl_builder_selector(b, principal, NULL, !i, &selectors[i]);
        sl_builder_rule(b, &rule, &id);
        sl_builder_who(b, &selectors[i], 1, &who);
        sl_builder_attach(b, id, rule.tier, 0, i, who, &attachment);
        sl_builder_host(b, attachment, "www.example.com", 15, &why);
    }
    require(sl_builder_finish(b, &data, &size) == SL_BUILD_OK);
    sl_builder_free(b);
    require(sl_image_validate(data, size, image, NULL) == SL_IMAGE_OK);
}

static void judge(const struct sl_image *image, const struct sl_workload *found)
{
    static struct sl_source source;
    struct sl_question question = {.source = &source, .host = "www.example.com", .host_length = 15, .port = 443};
    struct sl_decision out;
    question.who.addr = found->addr;
    question.who.workload_namespace = sl_workload_text(found, SL_WORKLOAD_NAMESPACE);
    question.who.workload_account = sl_workload_text(found, SL_WORKLOAD_ACCOUNT);
    question.who.workload_selectors = found->selectors;
    question.who.workload_selector_count = found->selector_count;
    sl_judge(image, &question, SL_PHASE_NAME, NULL, &out, NULL);
    require(source.count <= SL_SOURCE_SELECTORS && out.verdict <= SL_AUDIT);
}

static void build(void *table, size_t size, const uint32_t selectors[2])
{
    static const char *const networks[] = {"10.0.0.0/24", "fd00::/64"};
    struct sl_prefix block;
    require(sl_workloads_prepare(table, size, ADDRESSES, 2, RECORDS));
    for (unsigned i = 0; i < 2; i++) {
        require(sl_prefix_parse(networks[i], strlen(networks[i]), &block) == 1);
        require(sl_workloads_network(table, &block));
    }
    put(table, ASKED[0], "cart", 1, selectors, 1);
    put(table, ASKED[1], "web", 2, selectors, 2);
    put(table, ASKED[2], "cart", 3, NULL, 0);
    put(table, ASKED[3], "cart", 4, selectors, 2);
    put(table, ASKED[1], "web", 0, NULL, 0); /* its pod is gone */
}

static void look(const struct sl_workloads *table, const struct sl_image *image)
{
    const struct sl_workload *found;
    for (unsigned i = 0; i < sizeof ASKED / sizeof *ASKED; i++) {
        struct sl_addr addr = address(ASKED[i]);
        enum sl_workload_status status = sl_workloads_find(table, &addr, &found);
        require((status == SL_WORKLOAD_KNOWN) == (found != NULL));
        if (!found) continue;
        size_t length = 0;
        for (unsigned text = 0; text < SL_WORKLOAD_TEXT_COUNT; text++) length += strlen(sl_workload_text(found, text));
        require(length < found->size * (size_t)SL_WORKLOAD_TEXT_COUNT);
        judge(image, found);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t *good, *copy;
    static size_t table_size;
    static struct sl_image image;
    if (!good) {
        uint32_t selectors[2];
        policy(&image, selectors);
        table_size = sl_workloads_size(ADDRESSES, 2, RECORDS);
        good = calloc(1, table_size);
        copy = malloc(table_size);
        require(good && copy);
        build(good, table_size, selectors);
    }
    memcpy(copy, good, table_size);
    for (; size >= 8; data += 8, size -= 8) {
        uint32_t at;
        memcpy(&at, data, 4);
        memcpy(copy + at % (table_size - 3), data + 4, 4);
    }
    struct sl_workloads table;
    if (sl_workloads_open(&table, copy, table_size)) look(&table, &image);
    return 0;
}
