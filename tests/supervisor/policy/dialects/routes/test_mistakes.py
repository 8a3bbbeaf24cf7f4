"""Mistakes in routes: each is found at its place, with what was expected and what to write instead."""

import pytest

from tests.supervisor.policy.dialects.routes.reading import HTTP, read_route

# A route of which one line is put in, what stands there, and the one error: its words from the column on.
RULE = "  rules:\n    - "
MATCH = RULE + "matches: [{"
FILTER = RULE + "filters: [{"
HEADERS = FILTER + "type: RequestHeaderModifier, requestHeaderModifier: {"
MIRROR = FILTER + "type: RequestMirror, requestMirror: {"
COPY = MIRROR + "backendRef: {name: a, port: 1}, "
REDIRECT = FILTER + "type: RequestRedirect, requestRedirect: {"
AUTH = FILTER + "type: ExternalAuth, externalAuth: {backendRef: {name: a, port: 1}, protocol: "
BACKEND = RULE + "backendRefs: [{"

MISTAKES = (
    # parentRefs
    ("  parentRefs: [outside]\n", "5:16: expected a mapping, found the text `outside`"),
    ("  parentRefs: [{}]\n", "5:16: `name` is missing (the name of a Gateway or another parent)"),
    ("  parentRefs: [{name: Out}]\n", "5:23: name: expected a name: at most 253 of a-z, 0-9, '-' and '.'"),
    ("  parentRefs: [{name: a, port: 0}]\n", "5:32: port: 0 is out of range: 1 to 65535"),
    ("  parentRefs: [{name: a, port: '80'}]\n", "5:32: port: expected a decimal number, found the text `80` (remove"),
    ("  parentRefs: [{name: a, sectionName: HTTP}]\n", "5:39: sectionName: expected a name of a-z, 0-9"),
    ("  parentRefs: [{name: a, sectionname: http}]\n", "5:26: unknown key `sectionname` (did you mean `sectionName`?)"),
    ("  parentRefs: [{name: a, namespace: A}]\n", "5:37: namespace: expected a namespace"),
    ("  parentRefs: [{name: a, kind: 'x y'}]\n", "5:32: kind: expected a kind such as Service"),
    ("  parentRefs: [{name: a, group: a.io/v1}]\n", "5:33: group: expected an API group such as policy.linkerd.io"),
    ("  parentRefs: [{name: a}, {name: a}]\n", "5:27: Gateway a twice: each reference needs another sectionName or"),
    ("  parentRefs: [{name: a}, {name: a, namespace: shop, port: 1}]\n", "5:27: Gateway a twice"),
    ("  parentRefs: [{name: a, port: 1}, {name: a, port: 1}]\n", "5:36: Gateway a twice"),
    ("  parentRefs: [" + "{name: a, port: 1}, " * 33 + "]\n", "expected at most 32 items, found 33"),
    # hostnames
    ("  hostnames: [API.example.com]\n", "6:15: expected a hostname in lower case without a dot at its end, found"),
    ("  hostnames: [api.example.com.]\n", "(write api.example.com)"),
    ('  hostnames: ["*"]\n', '6:15: "*" is not a hostname of a route (leave hostnames out'),
    ("  hostnames: [10.0.0.1]\n", "6:15: `10.0.0.1` is an IP address"),
    ("  hostnames: [a_b.example.com]\n", "6:15: expected a hostname such as api.example.com"),
    ('  hostnames: ["a.*.example.com"]\n', "6:15: expected a hostname such as"),
    ("  hostnames: [https://a.example.com]\n", "is a URL, not a host name"),
    ("  hostnames: [a.example.com:80]\n", "has a port"),
    ("  hostnames: [" + "a.example.com, " * 17 + "]\n", "expected at most 16 items, found 17"),
    ("  hostname: [a.example.com]\n", "6:3: unknown key `hostname` (did you mean `hostnames`?)"),
    ("  useDefaultGateways: some\n", "6:23: useDefaultGateways: expected one of All, None"),
    # rules
    ("  rules: []\n", "`rules` is missing or empty"),
    ("  rules: [" + "{}, " * 17 + "]\n", "expected at most 16 items, found 17"),
    ("  rules: [{name: a}, {name: a}]\n", "6:22: two rules are named `a` (the first is in line 6)"),
    ("  rules: [{name: A}]\n", "6:18: name: expected a name of a-z, 0-9, '-' and '.'"),
    ("  rules: [{match: []}]\n", "unknown key `match` (did you mean `matches`?)"),
    ("  rules: [" + ("{matches: [" + "{}, " * 43 + "]}, ") * 3 + "]\n", "at most 128 matches in a route, found 129"),
    # matches
    (RULE + "matches: [" + "{}, " * 65 + "]\n", "expected at most 64 items, found 65"),
    (MATCH + "path: {type: Prefix, value: /}}]\n", "type: expected one of Exact, PathPrefix, RegularExpression, found"),
    (MATCH + "path: {value: v1}}]\n", "value: expected an absolute path, found the text `v1` (write /v1)"),
    (MATCH + "path: {value: /a//b}}]\n", "a path that is matched cannot contain `//` (write /a/b)"),
    (MATCH + "path: {value: /a/./b}}]\n", "cannot contain `/./`"),
    (MATCH + "path: {value: /a/../b}}]\n", "cannot contain `/../`"),
    (MATCH + "path: {value: /a%2Fb}}]\n", "cannot contain `%2F`"),
    (MATCH + "path: {value: '/a#b'}}]\n", "cannot contain `#` (write /a)"),
    (MATCH + "path: {value: '/a?b=c'}}]\n", "cannot contain `?` (write /a)"),
    (MATCH + "path: {value: /a/..}}]\n", "cannot end with `/..`"),
    (MATCH + "path: {value: /a/.}}]\n", "cannot end with `/.`"),
    (MATCH + "path: {value: '/a b'}}]\n", "expected a path of letters, digits"),
    (MATCH + "path: {value: /a%2}}]\n", "expected a path of letters, digits"),
    (MATCH + "path: {value: /" + "a" * 1024 + "}}]\n", "expected at most 1024 bytes, found 1025"),
    (MATCH + "path: {type: RegularExpression, value: '(a'}}]\n", "not a regular expression: missing ): (a"),
    (MATCH + "path: {type: RegularExpression, value: 'a(?=b)'}}]\n", "not a regular expression: "),
    (MATCH + "method: get}]\n", "method: expected a method in upper case, found the text `get` (write GET)"),
    (MATCH + "method: FETCH}]\n", "method: expected one of GET, HEAD, POST"),
    (MATCH + "headers: [{name: a b, value: c}]}]\n", "expected a name of 1 to 256 letters, digits"),
    (MATCH + "headers: [{name: a}]}]\n", "`value` is missing"),
    (MATCH + "headers: [{value: a}]}]\n", "`name` is missing"),
    (MATCH + "headers: [{name: a, value: ''}]}]\n", "value: expected visible ASCII characters"),
    (MATCH + "headers: [{name: a, value: 1}]}]\n", "value: expected a text, found the number `1` (put it in quotes"),
    (MATCH + "headers: [{name: a, value: ' b'}]}]\n", 'found the text ` b` (write "b")'),
    (MATCH + "headers: [{name: a, value: b}, {name: a, value: c}]}]\n", "headers: `a` twice (a match names each once)"),
    (MATCH + "headers: [" + "{name: a, value: b}, " * 17 + "]}]\n", "expected at most 16 items, found 17"),
    (MATCH + "headers: [{name: a, type: Regex, value: b}]}]\n", "expected one of Exact, RegularExpression"),
    (MATCH + "queryParams: [{name: a, value: ''}]}]\n", "value: expected a text of 1 to 1024 characters, found 0"),
    (MATCH + "queryParams: [{name: a, type: RegularExpression, value: ''}]}]\n", "(write .* for any value)"),
    (MATCH + "queries: []}]\n", "unknown key `queries`"),
    # filters
    (FILTER + "}]\n", "`type` is missing"),
    (FILTER + "urlRewrite: {}}]\n", "`type` is missing (write type: URLRewrite)"),
    (FILTER + "type: Mirror}]\n", "type: expected one of"),
    (FILTER + "type: RequestMirror}]\n", "`requestMirror` is missing"),
    (FILTER + "type: CORS, cors: {}, urlRewrite: {}}]\n", "`urlRewrite` beside type: CORS"),
    (FILTER + "type: CORS, cors: {}}, {type: CORS, cors: {}}]\n", "CORS twice: it cannot be repeated"),
    (
        FILTER + "type: URLRewrite, urlRewrite: {}}, {type: RequestRedirect, requestRedirect: {}}]\n",
        "RequestRedirect and URLRewrite together",
    ),
    (FILTER + "type: CORS, cors: {allowOrigins: ['*', 'https://a']}}]\n", 'allowOrigins: "*" beside others'),
    (FILTER + "type: CORS, cors: {allowOrigins: [a.com]}}]\n", "expected an origin such as https://www.example.com"),
    (FILTER + "type: CORS, cors: {allowMethods: [get]}}]\n", "expected one of *, GET"),
    (FILTER + "type: CORS, cors: {maxAge: 0}}]\n", "maxAge: 0 is out of range"),
    (FILTER + "type: CORS, cors: {allowCredentials: 'yes'}}]\n", "allowCredentials: expected true or false"),
    (HEADERS + "set: [{name: a}]}}]\n", "`value` is missing"),
    (
        HEADERS + "set: [{name: a, value: b}, {name: A, value: b}]}}]\n",
        "set: `A` twice (each field once, whatever its case)",
    ),
    (HEADERS + "remove: ['']}}]\n", "expected a name of 1 to 256"),
    (MIRROR + "}}]\n", "`backendRef` is missing"),
    (MIRROR + "backendRef: {name: a}}}]\n", "`port` is missing (a reference"),
    (
        COPY + "percent: 101}}]\n",
        "percent: 101 is out of range: 0 to 100",
    ),
    (
        COPY + "percent: 1, fraction: {numerator: 1}}}]\n",
        "`fraction` beside `percent` (write one of them)",
    ),
    (
        COPY + "fraction: {numerator: 101}}}]\n",
        "101 of 100: the numerator is at most the denominator",
    ),
    (REDIRECT + "statusCode: 300}}]\n", "expected one of 301, 302, 303, 307, 308"),
    (REDIRECT + "scheme: ftp}}]\n", "scheme: expected one of http, https"),
    (REDIRECT + "hostname: '*.a.com'}}]\n", "expected one name, found a wildcard"),
    (REDIRECT + "path: {replaceFullPath: /}}}]\n", "`type` is missing"),
    (
        FILTER + "type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replacePrefixMatch: /}}}]\n",
        "`replacePrefixMatch` beside type: ReplaceFullPath (write type: ReplacePrefixMatch)",
    ),
    (
        RULE + "matches: [{path: {type: Exact, value: /a}}]\n"
        "      filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]\n",
        "8:17: ReplacePrefixMatch needs a rule with exactly one match, of type PathPrefix",
    ),
    (
        RULE + "backendRefs: [{name: a, port: 1}]\n      filters: [{type: RequestRedirect, requestRedirect: {}}]\n",
        "8:17: RequestRedirect beside backendRefs",
    ),
    (FILTER + "type: ExtensionRef, extensionRef: {kind: A, name: a}}]\n", "`group` is missing"),
    (AUTH + "HTTP}}]\n", "`http` is missing"),
    (
        AUTH + "GRPC, grpc: {}, http: {}}}]\n",
        "`http` beside protocol: GRPC",
    ),
    # backends
    (BACKEND + "}]\n", "`name` is missing"),
    (BACKEND + "name: a}]\n", "`port` is missing"),
    (BACKEND + "name: a, port: 1, weight: -1}]\n", "weight: -1 is out of range: 0 to 1000000"),
    (BACKEND + "name: a, port: 1, weight: 1000001}]\n", "weight: 1000001 is out of range"),
    (RULE + "backendRefs: [" + "{name: a, port: 1}, " * 17 + "]\n", "expected at most 16 items, found 17"),
    # timeouts, retry, sessions
    (RULE + "timeouts: {request: 10}\n", "expected a duration, found the number `10` (a unit is missing: 10s)"),
    (RULE + "timeouts: {request: 1.5s}\n", "(whole numbers alone: 1500ms for 1.5s)"),
    (RULE + "timeouts: {request: 1s1s1s1s1s}\n", "expected a duration"),
    (RULE + "timeouts: {request: 123456s}\n", "expected a duration"),
    (RULE + "timeouts: {request: 1s, backendRequest: 2s}\n", "backendRequest is longer than request"),
    (RULE + "retry: {attempts: 0}\n", "attempts: 0 is out of range"),
    (RULE + "retry: {codes: [200]}\n", "200 is out of range: 400 to 599"),
    (RULE + "retry: {backoff: 1}\n", "backoff: expected a duration"),
    (RULE + "sessionPersistence: {}\n", "`cookie` is missing (type: Cookie has it)"),
    (RULE + "sessionPersistence: {type: Header, header: {}}\n", "`name` is missing"),
    (RULE + "sessionPersistence: {type: Header, header: {name: a}, cookie: {}}\n", "`cookie` beside type: Header"),
    (RULE + "sessionPersistence: {cookie: {lifetimeType: Permanent}}\n", "absoluteTimeout is missing"),
)  # fmt: skip


@pytest.mark.parametrize(("part", "expected"), MISTAKES)
def test_a_mistake_is_found_at_its_place(part: str, expected: str) -> None:
    base = HTTP.partition("  parentRefs")[0] if "parentRefs" in part else HTTP
    _, errors, _ = read_route(base + part)
    assert any(expected in error for error in errors), errors


CALL = HTTP.replace("HTTPRoute", "GRPCRoute") + "  rules: [{matches: [{method: {"
CALLS = (
    ("}}]}]", "expected `service`, `method` or both, found neither"),
    ("service: a/b}}]}]", "service: expected a name such as com.example.Service: letters, digits and '_'"),
    ("service: /a/b}}]}]", "found the text `/a/b` (write a.b)"),
    ("method: a.b}}]}]", "method: expected a name such as GetItem"),
    ("type: Regex, method: a}}]}]", "type: expected one of Exact, RegularExpression"),
    ("type: RegularExpression, method: '('}}]}]", "not a regular expression"),
    ("service: " + "a" * 1025 + "}}]}]", "expected at most 1024 bytes, found 1025"),
    ("method: a}, path: {}}]}]", "unknown key `path`"),
    ("method: a}}], filters: [{type: URLRewrite, urlRewrite: {}}]}]", "type: expected one of RequestHeaderModifier"),
    ("method: a}}], timeouts: {}}]", "unknown key `timeouts`"),
)


@pytest.mark.parametrize(("part", "expected"), CALLS)
def test_a_mistake_in_a_grpc_route(part: str, expected: str) -> None:
    _, errors, _ = read_route(CALL + part + "\n")
    assert any(expected in error for error in errors), errors


FORWARD = HTTP.replace("HTTPRoute", "TCPRoute")
FORWARDS = (
    ("", "`rules` is missing or empty"),
    ("  hostnames: [a.example.com]\n  rules: [{backendRefs: [{name: a, port: 1}]}]\n", "unknown key `hostnames`"),
    ("  rules: [{}]\n", "`backendRefs` is missing"),
    ("  rules: [{backendRefs: []}]\n", "backendRefs: the list is empty"),
    (
        "  rules: [{backendRefs: [{name: a, port: 1}]}, {backendRefs: [{name: a, port: 1}]}]\n",
        "at most 1 items, found 2",
    ),
    ("  rules: [{backendRefs: [{name: a, port: 1, filters: []}]}]\n", "unknown key `filters`"),
    ("  rules: [{backendRefs: [{name: a, port: 1}], matches: []}]\n", "unknown key `matches`"),
)


@pytest.mark.parametrize(("part", "expected"), FORWARDS)
def test_a_mistake_in_a_tcp_route(part: str, expected: str) -> None:
    _, errors, _ = read_route(FORWARD + part)
    assert any(expected in error for error in errors), errors


def test_a_route_without_namespace() -> None:
    _, errors, _ = read_route(HTTP.replace(", namespace: shop", ""))
    assert errors == ["3:11: metadata.namespace is missing (a file says nothing of a current namespace)"]


def test_warnings() -> None:
    _, errors, warnings = read_route(HTTP.replace("  parentRefs: [{name: outside}]\n", "  rules: [{}]\n"))
    assert errors == []
    assert warnings == [
        "5:3: `parentRefs` is missing: the route belongs to nothing, and decides nothing (write parentRefs: [{name:"
        " GATEWAY}])"
    ]
    headers = MATCH + "headers: [{name: A, value: b}, {name: a, value: c}]}]\n"
    assert read_route(HTTP + headers)[2] == [
        "7:49: headers: `a` is ignored: the same name in another case comes before it"
    ]
    assert read_route(HTTP.replace("{name: outside}", "{name: outside, kind: Gatewey}"))[2] == [
        "5:38: `Gatewey` is not a kind that is known (did you mean `Gateway`?)"
    ]


def test_one_mistake_does_not_hide_another() -> None:
    text = HTTP + MATCH + "method: get, path: {value: a}}, {path: {value: b}}]\n      timeouts: {request: 1}\n"
    assert len(read_route(text)[1]) == 4
