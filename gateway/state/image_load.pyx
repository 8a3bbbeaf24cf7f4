"""A policy image opened in slices: its checksum is taken, and its pages mapped in, a little each turn of the loop.
And given back in slices, once no tunnel asks it any more.

An image of a million names has tens of megabytes: opened at once it would hold every tunnel up for several
milliseconds, and again whenever a look-up met a page for the first time.
"""

from libc.stdint cimport uint64_t

from gateway.io.loop cimport SLICE_US, clock_us

cdef enum:
    PIECE = 131072             # bytes between two looks at the clock: about 30 us where pages are new
    GIVEN_BACK = 1048576       # the same when they are unmapped; every size of a page divides it


cdef class ImageLoad(Handler):
    """Opens the image that `fd` holds and calls on_finished(image, error): error is None, or a text and no image.
    `workloads` holds its table of workloads; -1: it has none.

    Raises ValueError or OSError for what can be seen at once. The descriptors may be closed after this.
    """

    def __init__(self, Loop loop, int fd, on_finished, int workloads=-1):
        self.loop = loop
        self.image = PolicyImage.begin(fd).attach(workloads)
        self.on_finished = on_finished

    def begin(self):
        """Starts in the next turn."""
        self.loop.keep(self)
        self.loop.later(self)

    cdef void on_turn(self) noexcept:
        cdef uint64_t until = clock_us() + SLICE_US
        cdef str error = None
        try:
            while not self.image.open_step(PIECE):
                if clock_us() >= until:
                    self.loop.later(self)
                    return
            self.opened = True
        except ValueError as problem:
            error = str(problem)
        self.finish(error)

    def finish(self, error):
        """Says how it went, once."""
        finished, self.on_finished = self.on_finished, None
        image, self.image = self.image, None
        self.close()
        if finished is not None:
            finished(image if self.opened else None, error)

    cdef void close(self) noexcept:
        if not self.closed:
            self.closed = True
            self.loop.park(self)
            if self.on_finished is not None:
                self.finish("internal error while the image was opened")


cdef class ImageRelease(Handler):
    """Unmaps an image that no tunnel asks any more. Its pages are freed with the last reference, which takes
    milliseconds at once: the supervisor holds one longer than workers do."""

    def __init__(self, Loop loop, PolicyImage image):
        self.loop = loop
        self.image = image

    def begin(self):
        """Starts in the next turn."""
        self.loop.keep(self)
        self.loop.later(self)

    cdef void on_turn(self) noexcept:
        cdef uint64_t until = clock_us() + SLICE_US
        while not self.image.unmap_step(GIVEN_BACK):
            if clock_us() >= until:
                self.loop.later(self)
                return
        self.close()

    cdef void close(self) noexcept:
        if not self.closed:
            self.closed = True
            self.loop.park(self)
