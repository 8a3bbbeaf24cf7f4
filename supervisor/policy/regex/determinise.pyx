"""Makes an automaton deterministic (sets of states, found as they are reached), and hands it on to be made minimal.

A state of the table is a set of states before their empty steps and, where assertions ask, the kind of the byte before:
which empty steps are open is known with the byte that comes next.
"""

from libc.stdint cimport int32_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from supervisor.policy.regex.minimise import minimal

# Kinds of bytes that assertions ask for; START and END stand before the first and behind the last.
cdef enum:
    OTHER = 0
    WORD = 1
    NEWLINE = 2
    START = 3
    END = 3
    MOST_WORK = 20000000  # steps of states, all in all: less than a second


class Exploded(Exception):
    """More states, or more work, than an expression may take."""


cdef bint is_open(int condition, int before, int after) noexcept:
    # automaton.py numbers them
    if condition == 0:
        return True
    if condition == 1:
        return before == START
    if condition == 2:
        return after == END
    if condition == 3:
        return before == START or before == NEWLINE
    if condition == 4:
        return after == END or after == NEWLINE
    return ((before == WORD) != (after == WORD)) == (condition == 5)


cdef int kind_of(int byte) noexcept:
    if 48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122 or byte == 95:
        return WORD
    return NEWLINE if byte == 10 else OTHER


cdef class Walk:
    """The automaton in arrays, and room for one set of states."""
    cdef:
        int count, start, final
        bint search, asserts
        int32_t *step_first  # by state, in the next three; one more at the end
        int32_t *step_to
        uint8_t *step_low
        uint8_t *step_high
        int32_t *empty_first
        int32_t *empty_to
        uint8_t *empty_condition
        int32_t *stack
        int32_t *found       # the set
        uint8_t *seen        # by state
        int found_count
        long work

    def __cinit__(self, list steps, list empty, int start, int final, bint search):
        cdef int at = 0, index
        self.count, self.start, self.final, self.search = len(steps), start, final, search
        step_count, empty_count = sum(map(len, steps)), sum(map(len, empty))
        self.step_first = <int32_t *> calloc(self.count + 1, sizeof(int32_t))
        self.step_to = <int32_t *> calloc(step_count + 1, sizeof(int32_t))
        self.step_low = <uint8_t *> calloc(step_count + 1, 1)
        self.step_high = <uint8_t *> calloc(step_count + 1, 1)
        self.empty_first = <int32_t *> calloc(self.count + 1, sizeof(int32_t))
        self.empty_to = <int32_t *> calloc(empty_count + 1, sizeof(int32_t))
        self.empty_condition = <uint8_t *> calloc(empty_count + 1, 1)
        self.stack = <int32_t *> calloc(empty_count + self.count + 2, sizeof(int32_t))
        self.found = <int32_t *> calloc(self.count + 1, sizeof(int32_t))
        self.seen = <uint8_t *> calloc(self.count + 1, 1)
        if (self.step_first is NULL or self.step_to is NULL or self.step_low is NULL or self.step_high is NULL or
                self.empty_first is NULL or self.empty_to is NULL or self.empty_condition is NULL or
                self.stack is NULL or self.found is NULL or self.seen is NULL):
            raise MemoryError
        for index, row in enumerate(steps):
            for low, high, to in row:
                self.step_low[at], self.step_high[at], self.step_to[at] = low, high, to
                at += 1
            self.step_first[index + 1] = at
        at = 0
        for index, row in enumerate(empty):
            for condition, to in row:
                self.empty_condition[at], self.empty_to[at] = condition, to
                self.asserts |= condition != 0
                at += 1
            self.empty_first[index + 1] = at

    def __dealloc__(self):
        free(self.step_first)
        free(self.step_to)
        free(self.step_low)
        free(self.step_high)
        free(self.empty_first)
        free(self.empty_to)
        free(self.empty_condition)
        free(self.stack)
        free(self.found)
        free(self.seen)

    cdef bint reach(self, const int32_t *states, int count, int before, int after) except -1:
        """The set becomes all that empty steps lead to between two kinds of bytes; whether it accepts."""
        cdef int top = 0, state, to, at
        memset(self.seen, 0, self.count)
        self.found_count = 0
        for at in range(count):
            self.stack[top] = states[at]
            top += 1
        if self.search:
            self.stack[top] = self.start
            top += 1
        while top:
            top -= 1
            state = self.stack[top]
            if self.seen[state]:
                continue
            self.seen[state] = 1
            self.found[self.found_count] = state
            self.found_count += 1
            for at in range(self.empty_first[state], self.empty_first[state + 1]):
                to = self.empty_to[at]
                if not self.seen[to] and is_open(self.empty_condition[at], before, after):
                    self.stack[top] = to
                    top += 1
            self.work += 1 + self.empty_first[state + 1] - self.empty_first[state]
        # memset of `seen` is work as well
        self.work += self.count // 64
        if self.work > MOST_WORK:
            raise Exploded
        return self.seen[self.final]

    cdef bytes step(self, int byte):
        """The states that a byte leads to from the set, sorted, as their bytes."""
        cdef int state, at, index, count = 0
        memset(self.seen, 0, self.count)
        for index in range(self.found_count):
            state = self.found[index]
            for at in range(self.step_first[state], self.step_first[state + 1]):
                if self.step_low[at] <= byte <= self.step_high[at]:
                    self.seen[self.step_to[at]] = 1
            self.work += self.step_first[state + 1] - self.step_first[state]
        for state in range(self.count):
            if self.seen[state]:
                self.stack[count] = state
                count += 1
        self.work += self.count // 16
        return (<char *> self.stack)[:count * sizeof(int32_t)]


def byte_classes(list steps, bint asserts):
    """The class of each byte, and the first byte of each class: those of one class lead to the same states."""
    cuts = {0}
    for row in steps:
        for low, high, _ in row:
            cuts |= {low, high + 1}
    if asserts:
        cuts |= {byte for byte in range(256) if byte and kind_of(byte) != kind_of(byte - 1)}
    firsts = sorted(cut for cut in cuts if cut < 256)
    classes = bytearray(256)
    for number, first in enumerate(firsts):
        last = firsts[number + 1] if number + 1 < len(firsts) else 256
        classes[first:last] = bytes([number]) * (last - first)
    return classes, firsts


def tables_of(list steps, list empty, int start, int final, bint search, int most_states):
    """The parts of expression.Table. Raises Exploded."""
    cdef Walk walk = Walk(steps, empty, start, final, search)
    cdef int32_t first = start
    cdef int before, after, previous
    cdef bytes core, key
    cdef list order, rows = []
    cdef dict numbers
    cdef const char *raw
    cdef bint accepted
    classes, firsts = byte_classes(steps, walk.asserts)
    kinds = [kind_of(byte) for byte in firsts]
    # A key is the kind of the byte before and the states. 0 = nothing can match any more, 1 = it matches already.
    key = bytes([START]) + (<char *> &first)[:sizeof(int32_t)]
    numbers, order, accepting = {key: 2}, [key], []
    width = len(firsts)
    for key in order:
        before = (<const unsigned char *> (<char *> key))[0]
        core = key[1:]
        raw = core
        accepting.append(walk.reach(<const int32_t *> raw, len(core) // sizeof(int32_t), before, END))
        row, previous = [], -1
        accepted = False
        for after, byte in sorted(zip(kinds, firsts)):
            if after != previous and (walk.asserts or previous < 0):
                accepted = walk.reach(<const int32_t *> raw, len(core) // sizeof(int32_t), before, after)
                previous = after
            if accepted and search:
                row.append((byte, 1))
                continue
            to = walk.step(byte)
            if not to and not search:
                row.append((byte, 0))
                continue
            to = bytes([after if walk.asserts else OTHER]) + to
            if to not in numbers:
                if len(order) >= most_states:
                    raise Exploded
                numbers[to] = len(order) + 2
                order.append(to)
            row.append((byte, numbers[to]))
        rows.append([to for _, to in sorted(row)])
    # What leads nowhere, and what always matches, come first.
    rows = [[0] * width, [1] * width, *rows]
    return minimal(bytes(classes), rows, [False, True, *accepting], 2)
