# csrc/policy/image.h, as Cython sees it.
from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t

cdef extern from "policy/image.h" nogil:
    enum:
        SL_IMAGE_VERSION
    enum sl_section:
        SL_SEC_STRINGS
        SL_SEC_RULES
        SL_SEC_RANGES
        SL_SEC_PORTSETS
        SL_SEC_ATTACHMENTS
        SL_SEC_LISTS
        SL_SEC_ENTRIES
        SL_SEC_NODES
        SL_SEC_EDGES
        SL_SEC_LABELS
        SL_SEC_PREFIXES
        SL_SEC_PRINCIPALS
        SL_SEC_PRINCIPAL_SLOTS
        SL_SEC_SELECTORS
        SL_SEC_SELECTOR_SLOTS
        SL_SEC_USERS
        SL_SEC_USER_SLOTS
        SL_SEC_NETWORKS
        SL_SEC_OWN
        SL_SEC_LINES
        SL_SEC_MEMBERSHIPS
        SL_SEC_CLAUSES
        SL_SEC_RUNS
        SL_SEC_STRETCHES
        SL_SEC_CANDIDATES
        SL_SEC_CONDITIONS
        SL_SEC_PROGRAMS
        SL_SEC_STEPS
        SL_SEC_LITERALS
        SL_SEC_PATHS
        SL_SEC_PATH_SLOTS
        SL_SEC_SETTINGS
        SL_SEC_COUNT
    enum sl_image_flags:
        SL_IMAGE_HAS_POLICY
        SL_IMAGE_PASSTHROUGH
        SL_IMAGE_AUDIT
        SL_IMAGE_STARTING
    enum sl_condition_flags:
        SL_CONDITION_UNAUTHORIZED
        SL_CONDITION_NO_ROUTE
    struct sl_condition:
        uint32_t when
        uint32_t admit
        uint32_t network
        uint32_t flags
        uint32_t path
    enum sl_literal_kind:
        SL_LITERAL_NONE
        SL_LITERAL_METHOD
        SL_LITERAL_PATH_EXACT
        SL_LITERAL_PATH_PREFIX
        SL_LITERAL_PATH_REGEX
        SL_LITERAL_PATH_SEARCH
        SL_LITERAL_FIELD
        SL_LITERAL_QUERY
    struct sl_literal:
        uint32_t name
        uint32_t text
        uint32_t regex
        uint16_t kind
        uint16_t length
    enum:
        SL_PROGRAM_STEPS
    enum sl_step_code:
        SL_STEP_NONE
        SL_STEP_AND
        SL_STEP_OR
        SL_STEP_NOT
        SL_STEP_SOURCE
        SL_STEP_LISTENER
        SL_STEP_WITHIN
        SL_STEP_NETWORK
        SL_STEP_REQUEST
        SL_STEP_SHOWS
    struct sl_step:
        uint32_t code
        uint32_t operand
    enum sl_attachment_flags:
        SL_ATTACH_EXCEPTS
        SL_ATTACH_LIFTS
    enum sl_principal_kind:
        SL_PRINCIPAL_NONE
        SL_PRINCIPAL_MESH
        SL_PRINCIPAL_NAMESPACE
        SL_PRINCIPAL_SERVICE_ACCOUNT
        SL_PRINCIPAL_IDENTITY
        SL_PRINCIPAL_USER
        SL_PRINCIPAL_NAMESPACE_IDENTITY
        SL_PRINCIPAL_NAMESPACE_USER
        SL_PRINCIPAL_ROLE
        SL_PRINCIPAL_ROLE_OTHER
        SL_PRINCIPAL_PODS
        SL_PRINCIPAL_NAMESPACES
        SL_PRINCIPAL_IDENTIFIED
        SL_PRINCIPAL_ELSEWHERE
        SL_PRINCIPAL_KIND_COUNT
    enum sl_image_status:
        SL_IMAGE_INTERNAL
        SL_IMAGE_OK
        SL_IMAGE_SHORT
        SL_IMAGE_MAGIC_BAD
        SL_IMAGE_VERSION_BAD
        SL_IMAGE_CHECKSUM_BAD
        SL_IMAGE_BOUNDS
        SL_IMAGE_ORDER
    struct sl_section_ref:
        uint64_t offset
        uint64_t count
    struct sl_image_header:
        uint64_t magic
        uint32_t version
        uint32_t flags
        uint64_t size
        uint64_t checksum
        sl_section_ref sections[20]
    struct sl_rule:
        uint32_t kind
        uint32_t namespace_
        uint32_t name
        uint32_t index
        uint32_t file
        uint32_t line
        uint32_t upstream
        uint32_t settings
        uint32_t lines
        uint32_t line_count
        uint16_t slot
        uint8_t tier
        uint8_t on_revoke
        uint8_t on_revoke_set
        uint8_t inner
        uint8_t protocol
        uint8_t ech
        uint32_t tls
        uint16_t tls_port
        uint8_t invalid
        uint8_t pad
    struct sl_settings:
        uint32_t sources
        uint32_t route
        uint32_t headers
    struct sl_regex:
        uint32_t cells
        uint16_t states
        uint16_t width
        uint16_t start
        uint16_t accepting
        uint16_t certain
        uint16_t pad
    struct sl_port_range:
        uint16_t low
        uint16_t high
    struct sl_attachment:
        uint32_t rule
        uint32_t portset
        uint32_t order
        uint8_t tier
        uint16_t flags
    struct sl_principal:
        uint32_t a
        uint32_t b
        uint32_t selector
        uint8_t kind
        uint8_t audit
    struct sl_selector:
        uint32_t principal
        uint32_t cidr
        uint16_t rank
        uint16_t flags
    struct sl_image:
        const uint8_t *base
        const sl_image_header *header
        size_t size

    uint64_t sl_image_checksum(const uint8_t *base, size_t size)
    sl_image_status sl_image_open(const void *base, size_t size, sl_image *image)
    struct sl_image_opening:
        size_t size
        size_t at
    sl_image_status sl_image_open_begin(const void *base, size_t size, sl_image_opening *opening)
    int sl_image_open_step(sl_image_opening *opening, size_t most)
    sl_image_status sl_image_open_end(const sl_image_opening *opening, sl_image *image)
    sl_image_status sl_image_validate(const void *base, size_t size, sl_image *image, char *where)
    const char *sl_image_status_text(sl_image_status status)
    const void *sl_image_record(const sl_image *image, sl_section section, uint64_t index)
    const char *sl_image_string(const sl_image *image, uint32_t offset)
