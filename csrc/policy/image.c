/* Opening a policy image and reading its records and hash tables; every read is bounds-checked.
 * The full check of every record is validate.c. */
#include "policy/image.h"

#include <string.h>

static const uint8_t RECORD_SIZES[SL_SEC_COUNT] = {
    [SL_SEC_STRINGS] = 1,
    [SL_SEC_RULES] = sizeof(struct sl_rule),
    [SL_SEC_RANGES] = sizeof(struct sl_port_range),
    [SL_SEC_PORTSETS] = sizeof(struct sl_portset),
    [SL_SEC_ATTACHMENTS] = sizeof(struct sl_attachment),
    [SL_SEC_LISTS] = sizeof(struct sl_list),
    [SL_SEC_ENTRIES] = sizeof(struct sl_entry),
    [SL_SEC_NODES] = sizeof(struct sl_node),
    [SL_SEC_EDGES] = sizeof(uint32_t),
    [SL_SEC_LABELS] = 1,
    [SL_SEC_PREFIXES] = sizeof(struct sl_prefix_node),
    [SL_SEC_PRINCIPALS] = sizeof(struct sl_principal),
    [SL_SEC_PRINCIPAL_SLOTS] = sizeof(uint32_t),
    [SL_SEC_SELECTORS] = sizeof(struct sl_selector),
    [SL_SEC_SELECTOR_SLOTS] = sizeof(uint32_t),
    [SL_SEC_USERS] = sizeof(struct sl_user),
    [SL_SEC_USER_SLOTS] = sizeof(uint32_t),
    [SL_SEC_NETWORKS] = sizeof(struct sl_network),
    [SL_SEC_OWN] = sizeof(struct sl_own),
    [SL_SEC_LINES] = sizeof(struct sl_line),
    [SL_SEC_MEMBERSHIPS] = sizeof(struct sl_membership),
    [SL_SEC_CLAUSES] = sizeof(uint32_t),
    [SL_SEC_RUNS] = sizeof(struct sl_run),
    [SL_SEC_STRETCHES] = sizeof(struct sl_stretch),
    [SL_SEC_CANDIDATES] = sizeof(uint32_t),
    [SL_SEC_REGEXES] = sizeof(struct sl_regex),
    [SL_SEC_CELLS] = sizeof(uint16_t),
    [SL_SEC_CONDITIONS] = sizeof(struct sl_condition),
    [SL_SEC_PROGRAMS] = sizeof(struct sl_program),
    [SL_SEC_STEPS] = sizeof(struct sl_step),
    [SL_SEC_LITERALS] = sizeof(struct sl_literal),
    [SL_SEC_PATHS] = sizeof(struct sl_path_node),
    [SL_SEC_PATH_SLOTS] = sizeof(uint32_t),
    [SL_SEC_SETTINGS] = sizeof(struct sl_settings),
};

size_t sl_section_record_size(unsigned section)
{
    return section < SL_SEC_COUNT ? RECORD_SIZES[section] : 0;
}

/* Hashes. Multiply and fold, eight bytes a step: quality for tables, nothing more. */
static uint64_t mix(uint64_t value)
{
    value ^= value >> 32;
    value *= 0x9fb21c651e98df25ull;
    value ^= value >> 29;
    value *= 0xd6e8feb86659fd93ull;
    return value ^ value >> 32;
}

static uint64_t hash_bytes(uint64_t hash, const uint8_t *bytes, size_t length)
{
    uint64_t word;
    hash ^= (uint64_t)length * 0x9e3779b97f4a7c15ull;
    for (; length >= 8; bytes += 8, length -= 8) {
        memcpy(&word, bytes, 8);
        hash = mix(hash ^ word);
    }
    word = 0;
    memcpy(&word, bytes, length);
    return mix(hash ^ word);
}

uint32_t sl_hash_edge(uint32_t parent, const uint8_t *label, size_t length)
{
    return (uint32_t)hash_bytes((uint64_t)parent * 0xff51afd7ed558ccdull, label, length);
}

uint32_t sl_hash_pair(uint32_t a, uint32_t b)
{
    return (uint32_t)mix((uint64_t)a << 32 | b);
}

uint32_t sl_hash_principal(uint8_t kind, const char *a, const char *b)
{
    uint64_t hash = hash_bytes(kind, (const uint8_t *)a, strlen(a));
    return (uint32_t)hash_bytes(hash, (const uint8_t *)b, strlen(b));
}

uint32_t sl_hash_text(const char *text)
{
    return (uint32_t)hash_bytes(0, (const uint8_t *)text, strlen(text));
}

/* Four lanes, so that the multiplications of neighbouring words overlap: 50 MB take about 5 ms. */
static void sum_begin(uint64_t lanes[4], const uint8_t *base, size_t size)
{
    struct sl_image_header header;
    memcpy(&header, base, sizeof header);
    header.checksum = 0;
    for (unsigned i = 0; i < 3; i++) lanes[i] = i + 1;
    lanes[3] = hash_bytes(size, (const uint8_t *)&header, sizeof header);
}

/* Takes in whole steps of 32 bytes from `at` up to `end`. Returns where it stopped. */
static size_t sum_take(uint64_t lanes[4], const uint8_t *base, size_t at, size_t end)
{
    for (; at + 32 <= end; at += 32) {
        uint64_t words[4];
        memcpy(words, base + at, 32);
        for (int i = 0; i < 4; i++) {
            lanes[i] = (lanes[i] ^ words[i]) * 0x9fb21c651e98df25ull;
            lanes[i] ^= lanes[i] >> 29;
        }
    }
    return at;
}

static uint64_t sum_end(const uint64_t lanes[4], const uint8_t *base, size_t at, size_t size)
{
    uint64_t sum = hash_bytes(0, base + at, size - at);
    for (int i = 0; i < 4; i++) sum = mix(sum ^ lanes[i]);
    return sum;
}

uint64_t sl_image_checksum(const uint8_t *base, size_t size)
{
    uint64_t lanes[4];
    sum_begin(lanes, base, size);
    return sum_end(lanes, base, sum_take(lanes, base, sizeof(struct sl_image_header), size), size);
}

static enum sl_image_status check_header(const void *base, size_t size)
{
    if (!base || (uintptr_t)base % 8) return SL_IMAGE_INTERNAL;
    const struct sl_image_header *header = base;
    if (size < sizeof *header) return SL_IMAGE_SHORT;
    if (header->magic != SL_IMAGE_MAGIC) return SL_IMAGE_MAGIC_BAD;
    if (header->version != SL_IMAGE_VERSION) return SL_IMAGE_VERSION_BAD;
    if (header->size > size || header->size < sizeof *header) return SL_IMAGE_SHORT;
    if (header->size % 8) return SL_IMAGE_BOUNDS;
    for (unsigned i = 0; i < SL_SEC_COUNT; i++) {
        const struct sl_section_ref *section = &header->sections[i];
        if (section->offset % 8 || section->offset < sizeof *header || section->offset > header->size)
            return SL_IMAGE_BOUNDS;
        if (section->count > (header->size - section->offset) / RECORD_SIZES[i]) return SL_IMAGE_BOUNDS;
    }
    static const uint8_t tables[] = {SL_SEC_EDGES, SL_SEC_PRINCIPAL_SLOTS, SL_SEC_SELECTOR_SLOTS, SL_SEC_USER_SLOTS,
                                     SL_SEC_PATH_SLOTS};
    for (unsigned i = 0; i < sizeof tables; i++) {
        uint64_t count = header->sections[tables[i]].count;
        if (count & (count - 1)) return SL_IMAGE_ORDER; /* probing takes a power of two */
    }
    /* Texts are read to their NUL: the last byte must be one. */
    const struct sl_section_ref *strings = &header->sections[SL_SEC_STRINGS];
    const uint8_t *texts = (const uint8_t *)base + strings->offset;
    if (strings->count == 0 || texts[0] != 0 || texts[strings->count - 1] != 0) return SL_IMAGE_BOUNDS;
    return SL_IMAGE_OK;
}

enum sl_image_status sl_image_open_begin(const void *base, size_t size, struct sl_image_opening *opening)
{
    enum sl_image_status status = check_header(base, size);

    memset(opening, 0, sizeof *opening);
    if (status != SL_IMAGE_OK) return status;
    opening->base = base;
    opening->size = (size_t)((const struct sl_image_header *)base)->size;
    opening->at = sizeof(struct sl_image_header);
    sum_begin(opening->lanes, base, opening->size);
    return SL_IMAGE_OK;
}

int sl_image_open_step(struct sl_image_opening *opening, size_t most)
{
    size_t left = opening->size - opening->at, end = opening->at + (most < left ? most : left);

    if (most < 32) end = opening->at + (left < 32 ? left : 32); /* whole steps, and always one */
    opening->at = sum_take(opening->lanes, opening->base, opening->at, end);
    return opening->size - opening->at < 32;
}

enum sl_image_status sl_image_open_end(const struct sl_image_opening *opening, struct sl_image *image)
{
    memset(image, 0, sizeof *image);
    if (!opening->base || opening->size - opening->at >= 32) return SL_IMAGE_INTERNAL; /* not all was taken in */
    const struct sl_image_header *header = (const void *)opening->base;
    if (sum_end(opening->lanes, opening->base, opening->at, opening->size) != header->checksum)
        return SL_IMAGE_CHECKSUM_BAD;
    *image = (struct sl_image){.base = opening->base, .header = header, .size = opening->size};
    return SL_IMAGE_OK;
}

enum sl_image_status sl_image_open(const void *base, size_t size, struct sl_image *image)
{
    struct sl_image_opening opening;
    enum sl_image_status status = sl_image_open_begin(base, size, &opening);

    memset(image, 0, sizeof *image);
    if (status != SL_IMAGE_OK) return status;
    sl_image_open_step(&opening, opening.size);
    return sl_image_open_end(&opening, image);
}

const char *sl_image_status_text(enum sl_image_status status)
{
    static const char *const texts[] = {
        [SL_IMAGE_INTERNAL] = "internal error",
        [SL_IMAGE_OK] = "ok",
        [SL_IMAGE_SHORT] = "the image is shorter than it says",
        [SL_IMAGE_MAGIC_BAD] = "not a policy image",
        [SL_IMAGE_VERSION_BAD] = "a policy image of another version",
        [SL_IMAGE_CHECKSUM_BAD] = "the checksum does not match",
        [SL_IMAGE_BOUNDS] = "a section or an index points outside",
        [SL_IMAGE_ORDER] = "records are out of order",
    };
    return texts[(unsigned)status < sizeof texts / sizeof *texts ? status : 0];
}

const void *sl_image_record(const struct sl_image *image, enum sl_section section, uint64_t index)
{
    const struct sl_section_ref *ref = &image->header->sections[section];
    if (index >= ref->count) return NULL;
    return image->base + ref->offset + index * RECORD_SIZES[section];
}

const char *sl_image_string(const struct sl_image *image, uint32_t offset)
{
    const char *text = sl_image_record(image, SL_SEC_STRINGS, offset);
    return text ? text : "";
}

/* One look-up in an open-addressing table of u32 indexes: linear probing from `hash`, ended by a 0 or a full round. */
struct probe {
    const uint32_t *slots;
    uint64_t mask, at, left;
};

static struct probe probe_start(const struct sl_image *image, enum sl_section section, uint32_t hash)
{
    uint64_t count = image->header->sections[section].count;
    return (struct probe){sl_image_record(image, section, 0), count - 1, hash & (count - 1), count};
}

static uint32_t probe_next(struct probe *probe)
{
    if (probe->left == 0) return 0;
    uint32_t index = probe->slots[probe->at];
    probe->at = (probe->at + 1) & probe->mask;
    probe->left--;
    return index;
}

uint32_t sl_image_child(const struct sl_image *image, uint32_t parent, const uint8_t *label, size_t length, int *broken)
{
    const struct sl_section_ref *labels = &image->header->sections[SL_SEC_LABELS];
    const uint8_t *bytes = image->base + labels->offset;
    struct probe probe = probe_start(image, SL_SEC_EDGES, sl_hash_edge(parent, label, length));
    for (uint32_t index; (index = probe_next(&probe)) != 0;) {
        const struct sl_node *node = sl_image_record(image, SL_SEC_NODES, index);
        if (!node || node->label >= labels->count || bytes[node->label] >= labels->count - node->label) {
            *broken = 1;
            return 0;
        }
        if (node->parent != parent || bytes[node->label] != length) continue;
        if (memcmp(bytes + node->label + 1, label, length) == 0) return index;
    }
    return 0;
}

uint32_t sl_image_path(const struct sl_image *image, uint32_t parent, const char *element, size_t length, int *broken)
{
    uint64_t texts = image->header->sections[SL_SEC_STRINGS].count;
    uint32_t hash = sl_hash_edge(parent, (const uint8_t *)element, length);
    struct probe probe = probe_start(image, SL_SEC_PATH_SLOTS, hash);
    for (uint32_t index; (index = probe_next(&probe)) != 0;) {
        const struct sl_path_node *node = sl_image_record(image, SL_SEC_PATHS, index);
        if (!node || node->text > texts || node->length > texts - node->text) {
            *broken = 1;
            return 0;
        }
        if (node->parent != parent || node->length != length || index == parent) continue;
        if (memcmp(image->base + image->header->sections[SL_SEC_STRINGS].offset + node->text, element, length) == 0)
            return index;
    }
    return 0;
}

uint32_t sl_image_principal(const struct sl_image *image, uint8_t kind, const char *a, const char *b, int *broken)
{
    struct probe probe = probe_start(image, SL_SEC_PRINCIPAL_SLOTS, sl_hash_principal(kind, a, b));
    for (uint32_t index; (index = probe_next(&probe)) != 0;) {
        const struct sl_principal *principal = sl_image_record(image, SL_SEC_PRINCIPALS, index);
        if (!principal) {
            *broken = 1;
            return 0;
        }
        if (principal->kind == kind && strcmp(sl_image_string(image, principal->a), a) == 0 &&
            strcmp(sl_image_string(image, principal->b), b) == 0)
            return index;
    }
    return 0;
}

uint32_t sl_image_selector(const struct sl_image *image, uint32_t principal, uint32_t cidr, int *broken)
{
    struct probe probe = probe_start(image, SL_SEC_SELECTOR_SLOTS, sl_hash_pair(principal, cidr));
    for (uint32_t index; (index = probe_next(&probe)) != 0;) {
        const struct sl_selector *selector = sl_image_record(image, SL_SEC_SELECTORS, index);
        if (!selector) {
            *broken = 1;
            return 0;
        }
        if (selector->principal == principal && selector->cidr == cidr) return index;
    }
    return 0;
}

uint32_t sl_image_user(const struct sl_image *image, const char *name, int *broken)
{
    struct probe probe = probe_start(image, SL_SEC_USER_SLOTS, sl_hash_text(name));
    for (uint32_t index; (index = probe_next(&probe)) != 0;) {
        const struct sl_user *user = sl_image_record(image, SL_SEC_USERS, index);
        if (!user) {
            *broken = 1;
            return 0;
        }
        if (strcmp(sl_image_string(image, user->name), name) == 0) return index;
    }
    return 0;
}
