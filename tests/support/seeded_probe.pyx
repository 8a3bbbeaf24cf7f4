"""The answers of gateway/policy/image.pyx, by a judge with a bug of csrc/policy/seed.h in it."""

include "../../gateway/policy/image.pyx"

cdef extern from *:
    """
    #include "policy/seed.h"
    #define SL_BUG_TEXT(name, text) text,
    static const char *const sl_bug_texts[] = {"none", SL_BUGS(SL_BUG_TEXT)};
    int sl_seeded_bug;
    """
    enum:
        SL_BUG_COUNT
    const char *sl_bug_texts[1]
    int sl_seeded_bug


def bugs():
    """A sentence for each bug, from number 1 on."""
    return [sl_bug_texts[number].decode("ascii") for number in range(1, SL_BUG_COUNT)]


def seed(int number):
    """Puts a bug in; 0 takes it out."""
    global sl_seeded_bug
    sl_seeded_bug = number
