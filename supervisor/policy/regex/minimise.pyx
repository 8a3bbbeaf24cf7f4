"""Makes a deterministic automaton minimal (Hopcroft's algorithm) and numbers it in one way: expressions that match the
same texts have the same bytes."""

from libc.stdint cimport int32_t, uint8_t, uint16_t
from libc.stdlib cimport calloc, free


cdef class Partition:
    """Blocks of states that are not told apart yet. `rows` is by state and class."""
    cdef:
        int states, width, blocks
        int32_t *next        # by state and class
        int32_t *into_first  # by class and state, in `into`: the states that lead there
        int32_t *into
        int32_t *elements    # states, block after block
        int32_t *place       # by state, in `elements`
        int32_t *block       # by state
        int32_t *first       # by block, in `elements`; `marked` of its states were marked
        int32_t *size
        int32_t *marked
        int32_t *work        # block * width + class, still to split others by
        uint8_t *waits       # by the same number
        int32_t *found
        int work_count

    def __cinit__(self, list rows, list accepts):
        cdef int state, symbol
        self.states, self.width = len(rows), len(rows[0])
        cells = self.states * self.width
        self.next = <int32_t *> calloc(cells, sizeof(int32_t))
        self.into_first = <int32_t *> calloc(self.width * (self.states + 1), sizeof(int32_t))
        self.into = <int32_t *> calloc(cells, sizeof(int32_t))
        self.elements = <int32_t *> calloc(self.states, sizeof(int32_t))
        self.place = <int32_t *> calloc(self.states, sizeof(int32_t))
        self.block = <int32_t *> calloc(self.states, sizeof(int32_t))
        self.first = <int32_t *> calloc(self.states, sizeof(int32_t))
        self.size = <int32_t *> calloc(self.states, sizeof(int32_t))
        self.marked = <int32_t *> calloc(self.states, sizeof(int32_t))
        self.work = <int32_t *> calloc(cells, sizeof(int32_t))
        self.waits = <uint8_t *> calloc(cells, 1)
        self.found = <int32_t *> calloc(self.states, sizeof(int32_t))
        if (self.next is NULL or self.into_first is NULL or self.into is NULL or self.elements is NULL or
                self.place is NULL or self.block is NULL or self.first is NULL or self.size is NULL or
                self.marked is NULL or self.work is NULL or self.waits is NULL or self.found is NULL):
            raise MemoryError
        for state, row in enumerate(rows):
            for symbol, to in enumerate(row):
                self.next[state * self.width + symbol] = to
        self.invert()
        self.begin(accepts)

    def __dealloc__(self):
        free(self.next)
        free(self.into_first)
        free(self.into)
        free(self.elements)
        free(self.place)
        free(self.block)
        free(self.first)
        free(self.size)
        free(self.marked)
        free(self.work)
        free(self.waits)
        free(self.found)

    cdef void invert(self) noexcept:
        cdef int symbol, state, to, at = 0
        cdef int32_t *first
        for symbol in range(self.width):
            first = self.into_first + symbol * (self.states + 1)
            for state in range(self.states):
                first[self.next[state * self.width + symbol] + 1] += 1
            first[0] = at
            for state in range(self.states):
                first[state + 1] += first[state]
            at = first[self.states]
            # `first` of a state is moved on while its list is filled, and put back behind.
            for state in range(self.states):
                to = self.next[state * self.width + symbol]
                self.into[first[to]] = state
                first[to] += 1
            for state in range(self.states, 0, -1):
                first[state] = first[state - 1]
            first[0] = at - self.states

    cdef begin(self, list accepts):
        """Two blocks: those that accept, and the others."""
        cdef int at = 0, state, number
        for wanted in (False, True):
            number, self.first[self.blocks] = self.blocks, at
            for state in range(self.states):
                if bool(accepts[state]) == wanted:
                    self.elements[at], self.place[state], self.block[state] = state, at, number
                    at += 1
            self.size[number] = at - self.first[number]
            if self.size[number]:
                self.blocks += 1
        number = 1 if self.blocks == 2 and self.size[1] < self.size[0] else 0
        self.split_by(number)

    cdef void split_by(self, int number) noexcept:
        cdef int key
        for key in range(number * self.width, (number + 1) * self.width):
            if not self.waits[key]:
                self.waits[key] = 1
                self.work[self.work_count] = key
                self.work_count += 1

    cdef void mark(self, int state) noexcept:
        cdef int number = self.block[state], here = self.place[state]
        cdef int there = self.first[number] + self.marked[number], other = self.elements[there]
        if here < there:
            return  # it is marked
        self.elements[here], self.place[other] = other, here
        self.elements[there], self.place[state] = state, there
        self.marked[number] += 1

    cdef void split(self, int number) noexcept:
        """Parts the marked ones of a block from the others; the smaller part becomes a block of its own."""
        cdef int marked = self.marked[number], rest = self.size[number] - marked, at
        self.marked[number] = 0
        if not marked or not rest:
            return
        self.first[self.blocks] = self.first[number] + (0 if marked <= rest else marked)
        self.size[self.blocks] = marked if marked <= rest else rest
        self.first[number] += marked if marked <= rest else 0
        self.size[number] -= self.size[self.blocks]
        for at in range(self.first[self.blocks], self.first[self.blocks] + self.size[self.blocks]):
            self.block[self.elements[at]] = self.blocks
        self.split_by(self.blocks)
        self.blocks += 1

    cdef void refine(self) noexcept:
        cdef int key, number, symbol, at, to, index, count
        cdef int32_t *first
        while self.work_count:
            self.work_count -= 1
            key = self.work[self.work_count]
            self.waits[key] = 0
            number, symbol = key // self.width, key % self.width
            first = self.into_first + symbol * (self.states + 1)
            count = 0
            for at in range(self.first[number], self.first[number] + self.size[number]):
                to = self.elements[at]
                for index in range(first[to], first[to + 1]):
                    self.found[count] = self.into[index]
                    count += 1
            for index in range(count):
                self.mark(self.found[index])
            for index in range(count):
                self.split(self.block[self.found[index]])


def minimal(bytes classes, list rows, list accepts, int start):
    """The parts of expression.Table. State 0 of `rows` accepts nothing whatever comes."""
    cdef Partition partition = Partition(rows, accepts)
    partition.refine()
    block = [partition.block[state] for state in range(partition.states)]
    # One state of each block stands for all.
    chosen = {partition.block[state]: state for state in range(partition.states - 1, -1, -1)}
    columns = {}
    blocks = sorted(chosen)
    number_of = {}
    for symbol in range(partition.width):
        column = tuple(block[rows[chosen[number]][symbol]] for number in blocks)
        number_of[symbol] = columns.setdefault(column, len(columns))
    kept = {number: symbol for symbol, number in reversed(number_of.items())}
    order, seen = [block[start]], {block[start], block[0]}
    for number in order:
        for column in range(len(columns)):
            to = block[rows[chosen[number]][kept[column]]]
            if to not in seen:
                seen.add(to)
                order.append(to)
    others = [number for number in order if number != block[0] and not accepts[chosen[number]]]
    final = [number for number in order if accepts[chosen[number]]]
    ordered = [block[0], *others, *final]
    numbers = {number: index for index, number in enumerate(ordered)}
    cells = [numbers[block[rows[chosen[number]][kept[column]]]] for number in ordered for column in range(len(columns))]
    accepting = 1 + len(others)
    certain = 0
    for index in range(len(others) + 1, len(ordered)):
        if set(cells[index * len(columns) : (index + 1) * len(columns)]) == {index}:
            certain = index
    packed = bytearray(2 * len(cells))
    cdef uint8_t[::1] view = packed
    cdef uint16_t *at = <uint16_t *> &view[0]
    for index, cell in enumerate(cells):
        at[index] = cell
    narrowed = bytes([number_of[symbol] for symbol in classes])
    return narrowed, bytes(packed), len(ordered), len(columns), numbers[block[start]], accepting, certain
