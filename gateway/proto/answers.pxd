# The HTTP form of the answers of CONTRACT.md section 5: status, Proxy-Status (RFC 9209), and a line for people.

# The whole answer as HTTP/1.1 bytes. `outcome` is an sl_outcome, any other number is "internal". `detail` is the rule
# of the protocol that was broken; `rule`, `reason` and `detail` may be None, may hold anything, are escaped and cut.
# `signed` is the id of its log line and `note` the operator's own line, printable ASCII; both may be None.
# `bearer`: tokens are asked for beside passwords, where credentials are.
# Without `body` the header is the same and nothing follows it (an answer to HEAD).
cdef bytes http1_answer(int outcome, str rule, str reason, str detail, bint body, str signed, str note,
                        bint bearer)

# A refusal of a plain request: the same, and `lasts`: the connection lives on behind it.
cdef bytes http1_refusal(int outcome, str rule, str reason, str detail, bint body, str signed, str note, bint bearer,
                         bint lasts)

# The same for HTTP/2, never for success: ([(name, value)] of its header block, body), all in bytes.
cdef tuple http2_answer(int outcome, str rule, str reason, str detail, str signed, str note, bint bearer)

# The status of both.
cdef int http_status(int outcome) noexcept

# The parts of both: (status line, [(name, value)], body).
cdef tuple answer_parts(int outcome, str rule, str reason, str detail, str signed, str note, bint bearer)

# Text as printable ASCII, at most 256 characters: other bytes and the backslash become \xNN of their UTF-8.
cdef str printable(str text)
# The `:status` of an answer as HBONE has it.
cdef tuple hbone_status(tuple field)
