"""Nodes of ordinary YAML straight from libyaml: block and flow collections, texts, numbers, comments.

Most of a large policy's compile is this. Where a text is malformed, or has anything that wants a second look (tags,
anchors, duplicate keys, base 60 numbers, control characters, great depth), it stops and says so; yaml_source.py then
reads it again with care, and finds the words for what is wrong.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8

from sys import intern

cdef extern from "yaml.h" nogil:
    ctypedef struct yaml_mark_t:
        size_t index, line, column
    ctypedef enum yaml_event_type_t:
        YAML_STREAM_END_EVENT, YAML_DOCUMENT_END_EVENT, YAML_ALIAS_EVENT, YAML_SCALAR_EVENT
        YAML_SEQUENCE_START_EVENT, YAML_SEQUENCE_END_EVENT, YAML_MAPPING_START_EVENT, YAML_MAPPING_END_EVENT
    ctypedef enum yaml_scalar_style_t:
        YAML_PLAIN_SCALAR_STYLE
    ctypedef enum yaml_encoding_t:
        YAML_UTF8_ENCODING
    ctypedef struct yaml_scalar_t:
        unsigned char *anchor
        unsigned char *tag
        unsigned char *value
        size_t length
        yaml_scalar_style_t style
    ctypedef struct yaml_collection_t:
        unsigned char *anchor
        unsigned char *tag
    ctypedef struct yaml_data_t:
        yaml_scalar_t scalar
        yaml_collection_t sequence_start
        yaml_collection_t mapping_start
    ctypedef struct yaml_event_t:
        yaml_event_type_t type
        yaml_data_t data
        yaml_mark_t start_mark
    ctypedef struct yaml_parser_t:
        pass
    int yaml_parser_initialize(yaml_parser_t *parser)
    void yaml_parser_delete(yaml_parser_t *parser)
    void yaml_parser_set_encoding(yaml_parser_t *parser, yaml_encoding_t encoding)
    void yaml_parser_set_input_string(yaml_parser_t *parser, const unsigned char *input, size_t size)
    int yaml_parser_parse(yaml_parser_t *parser, yaml_event_t *event)
    void yaml_event_delete(yaml_event_t *event)

cdef enum:
    SHORT = 16                 # bytes of texts that are often repeated, keys and ports: one object for all


class Unusual(Exception):
    """The text has to be read with care, from its beginning."""


cdef class Composer:
    """Iterates over the documents of `text`, which is UTF-8. `kind`: a Node. `most_depth`: collections in one another.

    Raises Unusual; documents that came before it are as they would be without."""

    cdef yaml_parser_t parser
    cdef bytes text            # libyaml reads it where it lies
    cdef object kind, file
    cdef int most_depth
    cdef object line           # the last one, as one object for all nodes that stand in it
    cdef size_t line_number

    def __cinit__(self, bytes text, str file, kind, int most_depth):
        if not yaml_parser_initialize(&self.parser):
            raise MemoryError
        self.text, self.file, self.kind, self.most_depth = text, file, kind, most_depth
        yaml_parser_set_encoding(&self.parser, YAML_UTF8_ENCODING)
        yaml_parser_set_input_string(&self.parser, <const unsigned char *> PyBytes_AS_STRING(text),
                                     <size_t> PyBytes_GET_SIZE(text))

    def __dealloc__(self):
        yaml_parser_delete(&self.parser)

    def __iter__(self):
        return self

    def __next__(self):
        cdef yaml_event_t event
        cdef yaml_event_type_t type
        # Collections that are being filled, from the outside inwards: their nodes, and the key of a mapping whose value
        # comes next.
        cdef list nodes = [], keys = []
        cdef Py_ssize_t last = -1
        cdef object value, key, node
        while True:
            if not yaml_parser_parse(&self.parser, &event):
                raise Unusual
            type = event.type
            try:
                if type == YAML_SCALAR_EVENT:
                    node = self.scalar(&event)
                elif type == YAML_MAPPING_START_EVENT or type == YAML_SEQUENCE_START_EVENT:
                    # Anchor and tag lie at the same place for both.
                    if event.data.mapping_start.anchor is not NULL or event.data.mapping_start.tag is not NULL:
                        raise Unusual
                    if last + 1 >= self.most_depth or (last >= 0 and keys[last] is None):
                        raise Unusual  # too deep, or a key that is a collection
                    nodes.append(self.node(&event, {} if type == YAML_MAPPING_START_EVENT else [], False))
                    keys.append(None if type == YAML_MAPPING_START_EVENT else False)
                    last += 1
                    continue
                elif type == YAML_MAPPING_END_EVENT or type == YAML_SEQUENCE_END_EVENT:
                    node = nodes.pop()
                    keys.pop()
                    last -= 1
                elif type == YAML_STREAM_END_EVENT:
                    raise StopIteration
                elif type == YAML_ALIAS_EVENT:
                    raise Unusual
                else:
                    continue  # begins and ends of documents, and of the stream
            finally:
                yaml_event_delete(&event)
            if last < 0:
                return node
            key = keys[last]
            value = nodes[last].value
            if key is None:
                keys[last] = node
            elif key is False:
                (<list> value).append(node)
            else:
                keys[last] = None
                text = key.value
                if text in <dict> value:
                    raise Unusual
                (<dict> value)[text] = (key, node)

    cdef object scalar(self, yaml_event_t *event):
        cdef const unsigned char *value = event.data.scalar.value
        cdef size_t length = event.data.scalar.length
        cdef bint plain = event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE
        cdef object text
        if event.data.scalar.anchor is not NULL or event.data.scalar.tag is not NULL:
            raise Unusual
        if plain and is_number_with_colons(value, length):
            raise Unusual
        text = PyUnicode_DecodeUTF8(<const char *> value, <Py_ssize_t> length, NULL)
        if length <= SHORT:
            text = intern(text)
        return self.node(event, text, plain)

    cdef object node(self, yaml_event_t *event, object value, bint plain):
        if self.line is None or event.start_mark.line != self.line_number:
            self.line_number = event.start_mark.line
            self.line = self.line_number + 1
        return self.kind(self.file, self.line, event.start_mark.column + 1, value, plain)


cdef bint is_number_with_colons(const unsigned char *text, size_t length) noexcept:
    """Whether YAML 1.1 may take it for a base 60 number: digits, signs, dots and underscores around a colon."""
    cdef bint colon = False
    cdef size_t i
    for i in range(length):
        if text[i] == c":":
            colon = True
        elif not (c"0" <= text[i] <= c"9") and text[i] not in (c"+", c"-", c".", c"_"):
            return False
    return colon
