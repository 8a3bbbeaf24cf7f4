"""The policy image as the compiler writes it: a thin face of csrc/build/builder.h. It knows layouts, not policy.

Names, prefixes and lists are judged by the same C functions that judge requests. Texts are str, host patterns and
lists bytes, CIDRs str in their canonical form. Ids are ints that only mean something to the builder that gave them.
"""

import fcntl
import mmap
import os
import unicodedata

import idna

from gateway.tables import ECHS, INNER_MODES, INNER_PROTOCOLS, REVOKES

from cpython.buffer cimport PyBUF_SIMPLE, Py_buffer, PyBuffer_FillInfo
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc

from gateway.c.addr cimport sl_prefix, sl_prefix_parse
from gateway.c.contract cimport (
    SL_ECH_UNSET, SL_INNER_PROTOCOL_UNSET, SL_INNER_UNSET, SL_REVOKE_KILL, SL_TIER_ALLOW, SL_TIER_AUDIT,
    SL_TIER_DEFAULT_ALLOW, SL_TIER_DEFAULT_AUDIT, SL_TIER_DEFAULT_DENY, SL_TIER_DENY, SL_TIER_HARD_DENY,
)
from gateway.c.image cimport (
    SL_IMAGE_AUDIT, SL_IMAGE_HAS_POLICY, SL_IMAGE_INTERNAL, SL_IMAGE_OK, SL_IMAGE_PASSTHROUGH, SL_IMAGE_STARTING,
    SL_LITERAL_FIELD, SL_LITERAL_METHOD, SL_LITERAL_PATH_EXACT, SL_LITERAL_PATH_PREFIX, SL_LITERAL_PATH_REGEX,
    SL_LITERAL_PATH_SEARCH, SL_LITERAL_QUERY,
    SL_PRINCIPAL_IDENTITY, SL_PRINCIPAL_MESH, SL_PRINCIPAL_NAMESPACE, SL_PRINCIPAL_NAMESPACE_IDENTITY,
    SL_PRINCIPAL_NAMESPACE_USER, SL_PRINCIPAL_NAMESPACES, SL_PRINCIPAL_PODS, SL_PRINCIPAL_ROLE,
    SL_PRINCIPAL_ELSEWHERE, SL_PRINCIPAL_IDENTIFIED, SL_PRINCIPAL_ROLE_OTHER, SL_PRINCIPAL_SERVICE_ACCOUNT,
    SL_PRINCIPAL_USER, SL_CONDITION_NO_ROUTE, SL_CONDITION_UNAUTHORIZED, SL_PROGRAM_STEPS, SL_STEP_AND,
    SL_STEP_LISTENER, SL_STEP_NETWORK, SL_STEP_NOT, SL_STEP_OR, SL_STEP_REQUEST, SL_STEP_SHOWS, SL_STEP_SOURCE,
    SL_STEP_WITHIN, sl_condition, sl_image, sl_image_status, sl_image_status_text, sl_image_validate, sl_literal,
    sl_port_range,
    sl_regex, sl_rule, sl_settings, sl_step,
)
from gateway.c.judge cimport SL_SHOWS_HTTP, SL_SHOWS_TLS
from gateway.c.name cimport SL_NAME_NON_ASCII, sl_name_status, sl_name_status_text

cdef extern from "build/builder.h" nogil:
    struct sl_builder:
        pass
    enum sl_build_status:
        SL_BUILD_INTERNAL
        SL_BUILD_OK
        SL_BUILD_NOMEM
        SL_BUILD_TOO_LARGE
        SL_BUILD_BAD_NAME
        SL_BUILD_BAD_ARGUMENT
    sl_builder *sl_builder_new()
    void sl_builder_free(sl_builder *builder)
    sl_build_status sl_builder_string(sl_builder *b, const char *text, size_t length, uint32_t *offset)
    sl_build_status sl_builder_settings(sl_builder *b, const sl_settings *settings, uint32_t *id)
    sl_build_status sl_builder_rule(sl_builder *b, const sl_rule *rule, uint32_t *id)
    sl_build_status sl_builder_portset(sl_builder *b, const sl_port_range *ranges, size_t count, uint32_t *id)
    sl_build_status sl_builder_principal(sl_builder *b, uint8_t kind, const char *a, const char *b_text, int audit,
                                         uint32_t *id)
    sl_build_status sl_builder_selector(sl_builder *b, uint32_t principal, const sl_prefix *cidr, int has_allow,
                                        uint32_t *id)
    sl_build_status sl_builder_who(sl_builder *b, const uint32_t *selectors, size_t count, uint32_t *id)
    void sl_builder_layout(sl_builder *b, uint32_t spread, uint32_t walked)
    sl_build_status sl_builder_attach_in(sl_builder *b, uint32_t rule, uint8_t tier, uint32_t portset, uint32_t order,
                                         uint32_t who, uint8_t group, uint8_t precedence,
                                         uint32_t *attachment)
    sl_build_status sl_builder_host(sl_builder *b, uint32_t attachment, const char *pattern, size_t length,
                                    sl_name_status *why)
    sl_build_status sl_builder_host_except(sl_builder *b, uint32_t attachment, const char *pattern, size_t length,
                                           sl_name_status *why)
    sl_build_status sl_builder_cidr(sl_builder *b, uint32_t attachment, const sl_prefix *prefix)
    sl_build_status sl_builder_cidr_except(sl_builder *b, uint32_t attachment, const sl_prefix *prefix)
    sl_build_status sl_builder_host_list(sl_builder *b, uint32_t attachment, const uint8_t *data, size_t length,
                                         uint64_t *names, uint64_t *line, sl_name_status *why)
    sl_build_status sl_builder_program(sl_builder *b, const sl_step *steps, size_t count, uint32_t *id)
    sl_build_status sl_builder_within(sl_builder *b, const sl_prefix *blocks, size_t count, uint32_t *id)
    sl_build_status sl_builder_condition(sl_builder *b, uint32_t attachment, const sl_condition *wanted)
    sl_build_status sl_builder_by_order(sl_builder *b, uint32_t attachment)
    sl_build_status sl_builder_networked(sl_builder *b, const char *namespace_)
    sl_build_status sl_builder_user(sl_builder *b, const char *name, const char *namespace_,
                                    const char *service_account)
    sl_build_status sl_builder_credential(sl_builder *b, const char *name, uint64_t credential)
    sl_build_status sl_builder_network(sl_builder *b, const sl_prefix *cidr, const char *namespace_,
                                       const char *service_account)
    sl_build_status sl_builder_guard(sl_builder *b, const sl_prefix *cidr, int allow)
    sl_build_status sl_builder_nat64(sl_builder *b, const sl_prefix *prefix)
    sl_build_status sl_builder_own(sl_builder *b, const sl_prefix *block, uint16_t port)
    sl_build_status sl_builder_flags(sl_builder *b, uint32_t flags)
    sl_build_status sl_builder_regex(sl_builder *b, const sl_regex *regex, const uint16_t *cells, size_t count,
                                     uint32_t *id)
    sl_build_status sl_builder_literal(sl_builder *b, const sl_literal *literal, uint32_t *id)
    sl_build_status sl_builder_finish(sl_builder *b, uint8_t **data, size_t *size)

TIER_DEFAULT_ALLOW = SL_TIER_DEFAULT_ALLOW
TIER_DEFAULT_AUDIT = SL_TIER_DEFAULT_AUDIT
TIER_DEFAULT_DENY = SL_TIER_DEFAULT_DENY
TIER_AUDIT = SL_TIER_AUDIT
TIER_ALLOW = SL_TIER_ALLOW
TIER_DENY = SL_TIER_DENY
TIER_HARD_DENY = SL_TIER_HARD_DENY

PRINCIPAL_MESH = SL_PRINCIPAL_MESH
PRINCIPAL_NAMESPACE = SL_PRINCIPAL_NAMESPACE
PRINCIPAL_SERVICE_ACCOUNT = SL_PRINCIPAL_SERVICE_ACCOUNT
PRINCIPAL_IDENTITY = SL_PRINCIPAL_IDENTITY
PRINCIPAL_USER = SL_PRINCIPAL_USER
PRINCIPAL_NAMESPACE_IDENTITY = SL_PRINCIPAL_NAMESPACE_IDENTITY
PRINCIPAL_NAMESPACE_USER = SL_PRINCIPAL_NAMESPACE_USER
PRINCIPAL_ROLE = SL_PRINCIPAL_ROLE
PRINCIPAL_ROLE_OTHER = SL_PRINCIPAL_ROLE_OTHER
PRINCIPAL_PODS = SL_PRINCIPAL_PODS
PRINCIPAL_NAMESPACES = SL_PRINCIPAL_NAMESPACES
PRINCIPAL_IDENTIFIED = SL_PRINCIPAL_IDENTIFIED
PRINCIPAL_ELSEWHERE = SL_PRINCIPAL_ELSEWHERE

LITERAL_METHOD = SL_LITERAL_METHOD
LITERAL_PATH_EXACT = SL_LITERAL_PATH_EXACT
LITERAL_PATH_PREFIX = SL_LITERAL_PATH_PREFIX
LITERAL_PATH_REGEX = SL_LITERAL_PATH_REGEX
LITERAL_PATH_SEARCH = SL_LITERAL_PATH_SEARCH
LITERAL_FIELD = SL_LITERAL_FIELD
LITERAL_QUERY = SL_LITERAL_QUERY

STEP_AND = SL_STEP_AND
STEP_OR = SL_STEP_OR
STEP_NOT = SL_STEP_NOT
STEP_SOURCE = SL_STEP_SOURCE
STEP_LISTENER = SL_STEP_LISTENER
STEP_WITHIN = SL_STEP_WITHIN
STEP_NETWORK = SL_STEP_NETWORK
STEP_REQUEST = SL_STEP_REQUEST
STEP_SHOWS = SL_STEP_SHOWS
SHOWS = {"http": SL_SHOWS_HTTP, "tls": SL_SHOWS_TLS}
PROGRAM_STEPS = SL_PROGRAM_STEPS

IMAGE_HAS_POLICY = SL_IMAGE_HAS_POLICY
IMAGE_PASSTHROUGH = SL_IMAGE_PASSTHROUGH
IMAGE_AUDIT = SL_IMAGE_AUDIT
IMAGE_STARTING = SL_IMAGE_STARTING

SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL

cdef dict ON_REVOKE = {None: SL_REVOKE_KILL} | {way: number for number, way in enumerate(REVOKES)}
cdef dict INNER = {None: SL_INNER_UNSET} | {mode: number for number, mode in enumerate(INNER_MODES)}
cdef dict PROTOCOL = {None: SL_INNER_PROTOCOL_UNSET} | {word: number for number, word in enumerate(INNER_PROTOCOLS)}
cdef dict ECH = {None: SL_ECH_UNSET} | {word: number for number, word in enumerate(ECHS)}


class BuildError(Exception):
    """The image cannot be built: too large, no memory, or an argument the compiler should not have given."""


class NameProblem(ValueError):
    """A text that is not a host pattern. `rule`: what it broke, without the name; `line`: of a list, from 1, else 0."""

    def __init__(self, rule: str, line: int = 0):
        super().__init__(f"line {line}: {rule}" if line else rule)
        self.rule = rule
        self.line = line


class InvalidImage(ValueError):
    """An image that must not be published."""


cdef int check(sl_build_status status, str what) except -1:
    if status == SL_BUILD_OK:
        return 0
    if status == SL_BUILD_NOMEM:
        raise BuildError("out of memory")
    if status == SL_BUILD_TOO_LARGE:
        raise BuildError("more records than an image can hold")
    raise BuildError(f"internal error: {what} was refused")


cdef int check_name(sl_build_status status, sl_name_status why, uint64_t line) except -1:
    if status == SL_BUILD_BAD_NAME:
        raise NameProblem(sl_name_status_text(why).decode("ascii"), line)
    return check(status, "a host")


cdef bytes encoded(str text):
    # File names may hold bytes that are no UTF-8: they come back as they were.
    cdef bytes raw = (text or "").encode("utf-8", "surrogateescape")
    if b"\0" in raw:
        raise BuildError("a text holds a NUL")
    return raw


cdef int parse_prefix(str cidr, sl_prefix *out) except -1:
    cdef bytes raw = cidr.encode("utf-8", "surrogateescape")
    cdef int status = sl_prefix_parse(raw, len(raw), out)
    if status != 1:
        raise ValueError(f"{cidr!r} {'has host bits set' if status < 0 else 'is not an address block'}")
    return 0


cdef class ImageData:
    """The finished image in memory: readable through the buffer protocol, freed with the object."""
    cdef uint8_t *data
    cdef size_t size

    def __dealloc__(self):
        free(self.data)

    def __len__(self):
        return self.size

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.data, self.size, 1, flags | PyBUF_SIMPLE)


cdef class ImageBuilder:
    """Takes rules, selectors and destinations; finish() or finish_memfd() lays the image out.

    Every method raises BuildError when the image grows too large or memory ends; the builder cannot be used after that.
    """
    cdef sl_builder *builder

    def __cinit__(self):
        self.builder = sl_builder_new()
        if self.builder is NULL:
            raise MemoryError

    def __dealloc__(self):
        sl_builder_free(self.builder)

    cdef uint32_t text(self, str text) except? 0:
        cdef bytes raw = encoded(text)
        cdef uint32_t offset = 0
        check(sl_builder_string(self.builder, raw, len(raw), &offset), "a text")
        return offset

    def settings(self, str sources=None, str route=None, str headers=None):
        """The id of what few rules set: JSON texts, None = not said. Equal settings have one."""
        cdef sl_settings wanted
        cdef uint32_t number = 0
        wanted.sources, wanted.route, wanted.headers = self.text(sources), self.text(route), self.text(headers)
        check(sl_builder_settings(self.builder, &wanted, &number), "settings of a rule")
        return number

    def rule(self, str kind, str namespace, str name, uint32_t index, str file, uint32_t line, int tier, *,
             on_revoke=None, inner=None, protocol=None, ech=None, str upstream=None, uint32_t settings=0,
             str tls=None, uint16_t tls_port=0, uint16_t slot=0, bint invalid=False):
        """Adds a rule for decisions to name; answers its id. `on_revoke`, `inner` (innerName), `protocol` (that of
        `inner`), `ech`: as in manifests, None = not said. `settings`: of settings(). `tls`: the text of
        originations.py. `invalid`: a deny of a resource that cannot be used."""
        cdef sl_rule rule
        cdef uint32_t number = 0
        rule.kind = self.text(kind)
        rule.namespace_ = self.text(namespace)
        rule.name = self.text(name)
        rule.index = index
        rule.file = self.text(file)
        rule.line = line
        rule.upstream = self.text(upstream)
        rule.settings = settings
        rule.slot = slot
        rule.tier = <uint8_t> tier
        rule.on_revoke = <uint8_t> <int> ON_REVOKE[on_revoke]
        rule.on_revoke_set = on_revoke is not None
        rule.inner = <uint8_t> <int> INNER[inner]
        rule.protocol = <uint8_t> <int> PROTOCOL[protocol]
        rule.ech = <uint8_t> <int> ECH[ech]
        rule.tls, rule.tls_port = self.text(tls), tls_port
        rule.invalid, rule.pad = invalid, 0
        check(sl_builder_rule(self.builder, &rule, &number), "a rule")
        return number

    def portset(self, ranges):
        """The id of a set of ports: pairs (low, high), both included; empty = any port."""
        cdef sl_port_range *array = <sl_port_range *> malloc((len(ranges) or 1) * sizeof(sl_port_range))
        cdef uint32_t number = 0
        cdef size_t count = 0
        if array is NULL:
            raise MemoryError
        try:
            for low, high in ranges:
                array[count].low, array[count].high = low, high
                count += 1
            check(sl_builder_portset(self.builder, array, count, &number), "a range of ports")
        finally:
            free(array)
        return number

    def selector(self, int kind, str a, str b, str cidr, bint has_allow, bint audit=False):
        """The id of "this principal (PRINCIPAL_*), from this address block".

        `a` is its namespace, `b` its service account, identity, user or role, "" where the kind has none; `cidr` None =
        from anywhere. `has_allow`: an allow selects it. `audit`: the principal is in audit mode.
        """
        cdef bytes first = encoded(a), second = encoded(b)
        cdef sl_prefix prefix
        cdef uint32_t principal = 0, number = 0
        if cidr is not None:
            parse_prefix(cidr, &prefix)
        check(sl_builder_principal(self.builder, <uint8_t> kind, first, second, audit, &principal), "a principal")
        check(sl_builder_selector(self.builder, principal, NULL if cidr is None else &prefix, has_allow, &number),
              "a selector")
        return number

    def who(self, selectors):
        """The id of a set of sources: at least one selector."""
        cdef uint32_t *array = <uint32_t *> malloc((len(selectors) or 1) * sizeof(uint32_t))
        cdef uint32_t number = 0
        cdef size_t count = 0
        if array is NULL:
            raise MemoryError
        try:
            for selector in selectors:
                array[count] = selector
                count += 1
            check(sl_builder_who(self.builder, array, count, &number), "a set of sources")
        finally:
            free(array)
        return number

    def layout(self, uint32_t spread, uint32_t walked):
        """When a set of sources becomes a clause, and a run of items gets an index (csrc/build/builder.h); for tests,
        0 = always."""
        sl_builder_layout(self.builder, spread, walked)

    def attach(self, uint32_t rule, int tier, uint32_t portset, uint32_t order, uint32_t who, uint8_t group=0,
               uint8_t precedence=0):
        """Adds one destination item of a rule for a set of sources: destinations are hung on the id it answers.

        Lower `order` wins among equals. `group` is the rules that one dialect reduces to one verdict, `precedence` what
        it puts before all else, the greater wins (the class of csrc/policy/image.h).
        """
        cdef uint32_t number = 0
        check(sl_builder_attach_in(self.builder, rule, <uint8_t> tier, portset, order, who, group, precedence, &number),
              "an attachment")
        return number

    def string(self, str text):
        """The id of a text."""
        return self.text(text)

    def program(self, steps):
        """The id of a program: pairs (STEP_*, operand) in postfix order, at most PROGRAM_STEPS; none = holds always."""
        cdef sl_step array[SL_PROGRAM_STEPS]
        cdef uint32_t number = 0
        cdef size_t count = 0
        if len(steps) > SL_PROGRAM_STEPS:
            raise BuildError("internal error: a program is too long")
        for code, operand in steps:
            array[count].code, array[count].operand = code, operand
            count += 1
        check(sl_builder_program(self.builder, array, count, &number), "a program")
        return number

    def within(self, cidrs):
        """The id of a set of address blocks, for STEP_WITHIN."""
        cdef sl_prefix *array = <sl_prefix *> malloc((len(cidrs) or 1) * sizeof(sl_prefix))
        cdef uint32_t number = 0
        cdef size_t count = 0
        if array is NULL:
            raise MemoryError
        try:
            for cidr in cidrs:
                parse_prefix(cidr, &array[count])
                count += 1
            check(sl_builder_within(self.builder, array, count, &number), "a set of address blocks")
        finally:
            free(array)
        return number

    def condition(self, uint32_t attachment, *, uint32_t when=0, uint32_t admit=0, uint32_t network=0,
                  uint32_t path=0, bint unauthorized=False, bint no_route=False, bint by_order=False):
        """The attachment's conditions: programs, the number of the network of destinations that it is, and the path
        (literal()) that it wants. `no_route`: it denies requests alone, as no route matches. `by_order`: neither ports
        nor selectors make it better than another of its group."""
        cdef sl_condition wanted
        wanted.when, wanted.admit, wanted.network, wanted.path = when, admit, network, path
        wanted.flags = <uint32_t> SL_CONDITION_UNAUTHORIZED if unauthorized else 0
        if no_route:
            wanted.flags = <uint32_t> SL_CONDITION_NO_ROUTE
        check(sl_builder_condition(self.builder, attachment, &wanted), "a condition")
        if by_order:
            check(sl_builder_by_order(self.builder, attachment), "an attachment")

    def networked(self, str namespace):
        """A namespace with networks of destinations of its own."""
        cdef bytes name = encoded(namespace)
        check(sl_builder_networked(self.builder, name), "a namespace")

    def host(self, uint32_t attachment, bytes pattern):
        """A name, `*.name` or `*`. Raises NameProblem."""
        cdef sl_name_status why
        cdef sl_build_status status = sl_builder_host(self.builder, attachment, pattern, len(pattern), &why)
        check_name(status, why, 0)

    def host_except(self, uint32_t attachment, bytes pattern):
        """Names that the attachment's hosts do not mean. Raises NameProblem."""
        cdef sl_name_status why
        cdef sl_build_status status = sl_builder_host_except(self.builder, attachment, pattern, len(pattern), &why)
        check_name(status, why, 0)

    def cidr(self, uint32_t attachment, str text):
        """An address block. Raises ValueError for a text that is not one."""
        cdef sl_prefix prefix
        parse_prefix(text, &prefix)
        check(sl_builder_cidr(self.builder, attachment, &prefix), "an address block")

    def cidr_except(self, uint32_t attachment, str text):
        """Addresses that the attachment's blocks do not mean."""
        cdef sl_prefix prefix
        parse_prefix(text, &prefix)
        check(sl_builder_cidr_except(self.builder, attachment, &prefix), "an address block")

    def host_list(self, uint32_t attachment, data):
        """The names of a list file: one name or `*.name` a line, `#` comments. Answers how many.

        U-labels are converted (IDNA 2008). Raises NameProblem with the line.
        """
        cdef uint64_t names = 0, line = 0
        cdef sl_name_status why
        cdef sl_build_status status
        cdef const uint8_t[::1] view
        data = bytes(data)
        if not data:
            return 0
        if not data.isascii():
            data = a_label_lines(data)
        view = data
        with nogil:
            status = sl_builder_host_list(self.builder, attachment, &view[0], view.shape[0], &names, &line, &why)
        check_name(status, why, line)
        return names

    def regex(self, table):
        """The id of a regular expression (regex/expression.Table)."""
        cdef sl_regex regex
        cdef bytes packed = table.classes + table.cells
        cdef const char *raw = packed
        cdef uint32_t number = 0
        regex.cells = regex.pad = 0
        regex.states, regex.width, regex.start = table.states, table.width, table.start
        regex.accepting, regex.certain = table.accepting, table.certain
        check(sl_builder_regex(self.builder, &regex, <const uint16_t *> raw, len(packed) // 2, &number),
              "a regular expression")
        return number

    def literal(self, int kind, str name, str text, uint32_t regex):
        """The id of a question about requests (LITERAL_*): of a field or parameter its name, of a path's expression the
        elements that all its paths begin with; the value, or the expression, and its regex() or 0."""
        cdef sl_literal wanted
        cdef uint32_t number = 0
        wanted.name, wanted.text, wanted.regex = self.text(name), self.text(text), regex
        wanted.kind, wanted.length = <uint16_t> kind, 0
        check(sl_builder_literal(self.builder, &wanted, &number), "a condition about requests")
        return number

    def user(self, str name, str namespace, str service_account, uint64_t credential=0):
        """A user of the users file and the identity it stands for ("" = none). `credential` tells its password from
        others, 0 = nothing does."""
        cdef bytes key = encoded(name), first = encoded(namespace), second = encoded(service_account)
        check(sl_builder_user(self.builder, key, first, second), "a user")
        check(sl_builder_credential(self.builder, key, credential), "a user")

    def network(self, str cidr, str namespace, str service_account):
        """A block of the network map."""
        cdef sl_prefix prefix
        cdef bytes first = encoded(namespace), second = encoded(service_account)
        parse_prefix(cidr, &prefix)
        check(sl_builder_network(self.builder, &prefix, first, second), "a network")

    def guard(self, str cidr, bint allow):
        """A block of addresses.allow, or of addresses.deny."""
        cdef sl_prefix prefix
        parse_prefix(cidr, &prefix)
        check(sl_builder_guard(self.builder, &prefix, allow), "an address block")

    def nat64(self, str cidr):
        """A prefix of addresses.nat64."""
        cdef sl_prefix prefix
        parse_prefix(cidr, &prefix)
        check(sl_builder_nat64(self.builder, &prefix), "a NAT64 prefix")

    def own(self, str cidr, uint16_t port):
        """Addresses that are this gateway's own, at `port` or, 0, at every one; without `cidr` a port it listens on."""
        cdef sl_prefix prefix
        if cidr is not None:
            parse_prefix(cidr, &prefix)
        check(sl_builder_own(self.builder, NULL if cidr is None else &prefix, port), "an own address")

    def flags(self, uint32_t flags):
        """IMAGE_*, or-ed in."""
        check(sl_builder_flags(self.builder, flags), "a flag")

    def finish(self):
        """The image, as an object with the buffer protocol."""
        cdef ImageData image = ImageData()
        cdef sl_build_status status
        with nogil:
            status = sl_builder_finish(self.builder, &image.data, &image.size)
        check(status, "the image")
        return image

    def finish_memfd(self):
        """The image in a memfd sealed against every change; the caller closes it. Raises OSError for lack of room."""
        image = self.finish()
        fd = os.memfd_create("sluice-policy", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.posix_fallocate(fd, 0, len(image))
            with memoryview(image) as view:
                written = 0
                while written < len(view):
                    written += os.pwrite(fd, view[written:], written)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
        except BaseException:
            os.close(fd)
            raise
        return fd


def a_label_lines(bytes data):
    """A list whose lines hold A-labels only. Lines stay where they are, comments go."""
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for index, line in enumerate(lines):
        if not line.isascii():
            lines[index] = a_labels(line.partition(b"#")[0].strip(b" \t\r"), index + 1)
    return b"\n".join(lines)


def a_labels(bytes name, int line):
    """One pattern in A-labels. Raises NameProblem."""
    try:
        labels = name.decode("utf-8").split(".")
        return b".".join(label.encode("ascii") if label.isascii() else
                         idna.encode(unicodedata.normalize("NFC", label.lower())) for label in labels)
    except UnicodeDecodeError:
        raise NameProblem(sl_name_status_text(SL_NAME_NON_ASCII).decode("ascii"), line) from None
    except idna.IDNAError:
        raise NameProblem("a label is not valid in an internationalised name (IDNA 2008)", line) from None


def validate(int fd):
    """Checks every record of a sealed image, before it is published. Raises InvalidImage, OSError."""
    cdef sl_image image
    cdef sl_image_status status = SL_IMAGE_INTERNAL
    cdef char where[64]
    cdef const uint8_t[::1] view
    wanted = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & wanted != wanted:
        raise InvalidImage("the image is not sealed")
    size = os.fstat(fd).st_size
    if size == 0:
        raise InvalidImage("the image is empty")
    with mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ) as mapping:
        view = mapping
        with nogil:
            status = sl_image_validate(&view[0], view.shape[0], &image, where)
        view = None
    if status != SL_IMAGE_OK:
        text = sl_image_status_text(status).decode("ascii")
        raise InvalidImage(f"{text} ({where.decode('ascii')})")
