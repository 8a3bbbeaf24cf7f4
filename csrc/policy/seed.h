/* Bugs that tests put in on purpose, so that what compares the judge with a slow one must find each. Without
 * SL_SEED_BUGS, as in all that is installed, none of this is compiled in. */
#ifndef SLUICE_SEED_H
#define SLUICE_SEED_H

#define SL_BUGS(X)                                                            \
    X(APEX, "*.example.com also means example.com")                           \
    X(SUFFIX, "the longest suffix does not win")                              \
    X(PORTS, "every rule is for every port")                                  \
    X(EXCEPT, "excepted names and addresses match all the same")              \
    X(TIERS, "allow outranks deny")                                           \
    X(ORDER, "of equal rules the younger wins")                               \
    X(RANK, "the narrower source does not win")                               \
    X(LOWER, "a lower identity's denies are shed")                            \
    X(WIDENED, "a lower identity's allows count")                             \
    X(HARD_SOFT, "audit mode softens a hard deny")                            \
    X(GUARD, "any CIDR allow lifts the guard")                                \
    X(EMBEDDED, "an embedded IPv4 address is not judged")                     \
    X(PENDING, "a name that only its address can allow is denied")            \
    X(PASSTHROUGH, "an allow of the source does not end passthrough")         \
    X(DELEGATED, "a name that goes to a parent is judged by address as well") \
    X(ATTRIBUTES, "attributes are the winner's alone")                        \
    X(OWN_ADDRESS, "what the kernel routes here passes")                      \
    X(INNER_NAME, "any name may show inside")                                 \
    X(BEHIND_ADDRESS, "a denied name behind an address passes")               \
    X(PROTOCOL, "any protocol may show inside")                               \
    X(ECH, "an encrypted ClientHello always passes")                          \
    X(CLAUSES, "a source is in no clause")                                    \
    X(STRETCH, "an index is read one stretch of ports too early")             \
    X(GROUPS, "every rule of a group counts")                                 \
    X(CLASS, "a dialect's own precedence is ignored")                         \
    X(BETWEEN, "of two groups that say the same the weaker match is named")   \
    X(DEFAULTS, "a default allow outranks a default deny")                    \
    X(ROLE, "a user is a role beside that of the certificate")                \
    X(ROLE_OTHER, "a listed role is another one as well")                     \
    X(OVER_PHASES, "a default of the name outranks one of the address")       \
    X(WITHIN, "every address lies in the blocks of a condition")              \
    X(NETWORK, "rules of every network of destinations count")                \
    X(ADMIT, "a rule that wins admits all sources")                           \
    X(AGAIN, "a name is not judged again with its address")                   \
    X(BY_ORDER, "ports count where only the order does")                      \
    X(ELEMENT, "a prefix of a path ends within an element")                   \
    X(FIRST_FIELD, "the last field of a name counts")                         \
    X(KNOWN, "what is not known of a request holds")                          \
    X(PATH_RANK, "the better path does not win")                              \
    X(SETTLED, "a rule of the address goes before that of the name")          \
    X(SHOWN, "a rule is for every protocol")                                  \
    X(OTHER_WAY, "a held tunnel is carried by a rule with a parent")

#define SL_BUG_NUMBER(name, text) SL_BUG_##name,
enum sl_bug { SL_BUG_NONE, SL_BUGS(SL_BUG_NUMBER) SL_BUG_COUNT };

#ifdef SL_SEED_BUGS
extern int sl_seeded_bug; /* an sl_bug; the test's */
#define SL_BUG(name) (sl_seeded_bug == SL_BUG_##name)
#else
#define SL_BUG(name) 0
#endif

#endif
