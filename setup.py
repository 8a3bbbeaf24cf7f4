"""Builds the compiled half of Sluice: one extension per gateway module, each linked with the C units it needs.

SLUICE_SANITIZE=address,undefined builds instrumented extensions (`make asan`), SLUICE_CHECKED=1 those that check None
and bounds (`make debug`), SLUICE_PROBES=1 what tests need beside them. SLUICE_PURE=1 leaves the extensions out:
the Makefile compiles them in place, incrementally, and installs only the Python half from here.
"""

import copy
import itertools
import os
import subprocess
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.modified import newer_group

WARNINGS = ["-Wall", "-Wextra"]
# Generated C is not ours to mend: Cython's output is compiled with the plain warnings, our units with the strict ones
# (csrc/ is built strictly by tests/csrc/Makefile, which `make lint` runs).
QUIET = ["-Wno-unused-function", "-Wno-unused-parameter", "-Wno-missing-field-initializers", "-Wno-cast-function-type"]
sanitize = os.environ.get("SLUICE_SANITIZE", "")
# In these builds an attribute of None raises, and so does an index out of bounds: the loop counts it and closes the
# connection, where the product's build would crash or read what lies there.
CHECKED = bool(sanitize or os.environ.get("SLUICE_CHECKED"))
# Functions with buffers check their stack, calls of libc know the size of what they write to, and no table of functions
# can be written to once a module is loaded. A sanitizer brings its own versions of the checked functions.
FORTIFY = [] if sanitize else ["-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"]
HARDEN = ["-fstack-protector-strong", *FORTIFY]
HARDEN_LINK = ["-Wl,-z,relro,-z,now"]
# In builds for tests a transition that a table of states does not have raises; the product counts it.
PROBED = ("SL_PROBES",) if CHECKED or os.environ.get("SLUICE_PROBES") else ()
SANITIZE = [f"-fsanitize={sanitize}", "-fno-omit-frame-pointer", "-g"] if sanitize else []


class BuildExtension(build_ext):
    """Objects of an extension lie apart from every other's, so that extensions that share C units build in parallel.

    What is compiled is printed, and how far it is: a first build takes minutes. Modules that are up to date are silent.
    """

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self) -> None:
        self.to_compile = sum(map(self.is_old, self.extensions))
        self.begun = itertools.count(1)
        super().build_extensions()

    def is_old(self, ext: Extension) -> bool:
        """Whether the module has to be compiled."""
        parts = [*ext.sources, *ext.depends]
        return bool(self.force or newer_group(parts, self.get_ext_fullpath(ext.name), "newer"))

    def build_extension(self, ext: Extension) -> None:
        if self.is_old(ext):
            print(f"compiling {next(self.begun)} of {self.to_compile}: {ext.name}", flush=True)
        alone = copy.copy(self)
        alone.build_temp = str(Path(self.build_temp) / ext.name)
        super(BuildExtension, alone).build_extension(ext)


def pkg_config(*packages: str) -> tuple[list[str], list[str]]:
    """Compile and link flags of system libraries."""

    def ask(what: str) -> list[str]:
        command = ["pkg-config", what, *packages]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()

    return ask("--cflags"), ask("--libs")


def extension(name: str, *units: str, libraries: tuple[str, ...] = (), defines: tuple[str, ...] = ()) -> Extension:
    """A Cython module and the C units of csrc/ linked into it."""
    cflags, libs = pkg_config(*libraries) if libraries else ([], [])
    return Extension(
        name,
        [name.replace(".", "/") + ".pyx", *(f"csrc/{unit}.c" for unit in units)],
        include_dirs=["csrc"],
        depends=["setup.py", *map(str, sorted(Path("csrc").rglob("*.h")))],
        define_macros=[(name, "1") for name in ("_GNU_SOURCE", *PROBED, *defines)],
        extra_compile_args=["-std=gnu11", "-O2", "-fvisibility=hidden", *HARDEN, *WARNINGS, *QUIET, *SANITIZE, *cflags],
        extra_link_args=[*HARDEN_LINK, *SANITIZE, *libs],
    )


POLICY = (
    "base/contract",
    "bytes/addr",
    "bytes/name",
    "policy/image",
    "policy/lookup",
    "policy/precedence",
    "policy/paths",
    "policy/request",
    "policy/regex",
    "bytes/target",
    "policy/place",
    "policy/program",
    "policy/entries",
    "policy/list_line",
    "policy/source",
    "policy/subject",
    "policy/decide",
    "policy/judge",
    "policy/attributes",
    "policy/refusals",
)
VALIDATE = (
    "policy/validate",
    "policy/validate_lists",
    "policy/validate_regexes",
    "policy/validate_paths",
    "policy/validate_programs",
)
BUILDER = (
    "bytes/addr",
    "bytes/name",
    "policy/image",
    *VALIDATE,
    "build/builder",
    "build/builder_sources",
    "build/builder_names",
    "build/builder_prefixes",
    "build/builder_layout",
    "build/builder_clauses",
    "build/builder_conditions",
    "build/builder_runs",
    "build/builder_regexes",
    "build/builder_paths",
)
LEG = ("relay/leg", "relay/pipe_pool")
TLS = tuple(
    f"tls/tls_{unit}"
    for unit in ("client", "context", "facts", "leg", "peer", "server", "session", "text", "ticket", "wire")
)
INNER = (
    "bytes/inner",
    "bytes/hello",
    "bytes/inner_http1",
    "bytes/inner_http2",
    "bytes/inner_authority",
    "bytes/starttls",
)
# Heads of requests and responses, and content in chunks.
MESSAGE = (
    *(f"bytes/message{part}" for part in ("", "_line", "_read", "_framing", "_settle", "_write")),
    "bytes/chunks",
)
TRACE = ("bytes/trace_context",)
SEGMENT = ("shared/segment", "shared/segment_text", "shared/live_tunnels", "shared/pending_log")
EXTENSIONS = [
    extension("gateway.tables", "base/contract", "shared/segment_text", "bytes/addr"),
    extension("gateway.pending", "shared/pending_log"),
    extension("gateway.policy.mapped_image", "policy/image", *VALIDATE, "base/contract"),
    extension("gateway.policy.target", "bytes/target"),
    extension("gateway.policy.workloads", "shared/workloads", "bytes/addr", "base/contract"),
    extension("gateway.policy.image", *POLICY, "policy/describe", "net/local"),
    extension("gateway.proto.codec", "base/contract", "bytes/addr", "bytes/forwarded", "bytes/name"),
    extension("gateway.proto.socks"),
    extension("gateway.proto.answers"),
    extension("gateway.proto.grpc", *MESSAGE),
    extension("gateway.proto.http1"),
    extension("gateway.proto.message", *MESSAGE),
    extension("gateway.proto.sniff"),
    extension("gateway.proto.http1_input", *MESSAGE),
    extension("gateway.proto.http_request", "base/contract", "bytes/addr", "bytes/target", *MESSAGE),
    extension("gateway.proto.direct", "bytes/hello", "bytes/name", "bytes/addr"),
    extension("gateway.proto.http2.frames"),
    extension("gateway.proto.http2.hpack", libraries=("libnghttp2",)),
    extension("gateway.proto.http2.settings"),
    extension("gateway.proto.http2.budget"),
    extension("gateway.proto.http2.streams"),
    extension("gateway.proto.http2.blocks", *MESSAGE),
    extension("gateway.proto.http2.head", *MESSAGE),
    extension("gateway.proto.http2.websocket", *MESSAGE),
    extension("gateway.proto.http2.outbound"),
    extension("gateway.proto.http2.core"),
    extension("gateway.proto.http2.server"),
    extension("gateway.proto.http2.client", *MESSAGE),
    extension("gateway.proto.http2.work"),
    extension("gateway.worker.privileges"),
    extension("gateway.worker.scheduling"),
    extension("gateway.io.poller"),
    extension("gateway.io.loop", "base/timers", *SEGMENT),
    extension("gateway.io.watch"),
    extension("gateway.io.leg", *LEG),
    extension("gateway.io.sockets", "bytes/addr"),
    extension("gateway.io.states"),
    extension("gateway.io.outgoing", *LEG, *MESSAGE),
    extension("gateway.io.bulk", *LEG),
    extension("gateway.parent.source_pool", "bytes/addr"),
    extension("gateway.state.local_routes", "net/local", *POLICY),
    extension("gateway.dns.hosts", "bytes/addr", "bytes/name"),
    extension("gateway.dns.cache"),
    extension("gateway.dns.channel", "bytes/dns_answer", libraries=("libcares",)),
    extension("gateway.dns.resolution", "bytes/addr"),
    extension("gateway.dns.names", "bytes/addr"),
    extension("gateway.dns.resolver", "bytes/addr"),
    extension("gateway.proto.client_handshake", "bytes/addr"),
    extension("gateway.parent.parent", "bytes/addr", *LEG),
    # Not all of TLS: legs know theirs by the address of its table, and each module has a table of its own.
    extension(
        *("gateway.tls.session", "base/contract", "bytes/spiffe", "tls/tls_peer", "tls/tls_text"),
        libraries=("libssl", "libcrypto"),
    ),
    extension("gateway.tls.server", "base/contract", "bytes/spiffe", *TLS, *LEG, libraries=("libssl", "libcrypto")),
    extension("gateway.tls.client", "base/contract", "bytes/spiffe", *TLS, *LEG, libraries=("libssl", "libcrypto")),
    extension("gateway.state.rates", "shared/limit_table", "shared/rate_table"),
    extension("gateway.state.limits", "shared/limit_table", "bytes/addr"),
    extension("gateway.state.queues"),
    extension("gateway.state.handshakes"),
    extension("gateway.state.prefixes", "bytes/addr"),
    extension("gateway.tracing.trace", *TRACE, *MESSAGE),
    extension("gateway.tracing.tracer", *TRACE, *MESSAGE),
    extension(
        "gateway.state.log", "bytes/addr", "base/contract", "bytes/log_line", *TRACE, "base/log_budget", *SEGMENT
    ),
    extension("gateway.state.claims", "bytes/spiffe"),
    extension("gateway.state.credentials"),
    extension("gateway.state.speakers", *POLICY),
    extension("gateway.state.request", *LEG),
    extension("gateway.state.logins", *SEGMENT, *LEG),
    extension("gateway.state.settings"),
    extension("gateway.state.meter", *SEGMENT),
    extension("gateway.state.file_budget", "relay/pipe_pool", *SEGMENT),
    extension("gateway.state.roster", *SEGMENT),
    extension("gateway.state.generation", *POLICY),
    extension("gateway.state.parts", *SEGMENT, *POLICY),
    extension("gateway.state.record", *SEGMENT, *POLICY, "shared/workloads"),
    extension("gateway.state.request_record", *POLICY),
    extension("gateway.state.request_line", "base/contract", *SEGMENT),
    extension("gateway.dial.race", "net/dial_error", *SEGMENT, *POLICY),
    extension("gateway.dial.verdicts", *POLICY),
    extension("gateway.dial.review", *POLICY),
    extension("gateway.dial.phases", *POLICY),
    extension("gateway.dial.places", *SEGMENT, *POLICY),
    extension("gateway.dial.origination", *LEG, *SEGMENT),
    extension("gateway.dial.parent_way", "bytes/proxy_header", *LEG, *SEGMENT, *POLICY),
    extension("gateway.dial.detour"),
    extension("gateway.dial.opening", *LEG, *SEGMENT, *POLICY),
    extension("gateway.http2.deadlines", *SEGMENT),
    extension("gateway.http2.framing", *LEG, *SEGMENT, *POLICY),
    extension("gateway.http2.states"),
    extension("gateway.http2.sending", *SEGMENT, *POLICY),
    extension("gateway.http2.reader", *LEG, *SEGMENT, *POLICY),
    extension("gateway.http2.writer", *LEG, *SEGMENT, *POLICY),
    extension("gateway.http2.carrier", "net/silence", *LEG, *SEGMENT, *POLICY),
    extension("gateway.upstream.states"),
    extension("gateway.upstream.stream", *LEG, *SEGMENT),
    extension("gateway.upstream.connection", *SEGMENT),
    extension("gateway.upstream.pool", *LEG, *SEGMENT, *POLICY),
    extension("gateway.upstream.origin"),
    extension("gateway.upstream.shares"),
    extension("gateway.upstream.origin_pool", *SEGMENT, "relay/pipe_pool"),
    extension("gateway.upstream.http2_request", *MESSAGE, *SEGMENT, *POLICY),
    extension("gateway.upstream.http2_origin", "net/silence", *LEG, *SEGMENT, *POLICY),
    extension("gateway.upstream.http1_origin", *LEG, *MESSAGE, *SEGMENT),
    extension("gateway.tunnel.states"),
    extension("gateway.tunnel.tunnel", "net/silence", "relay/relay", *LEG, *SEGMENT),
    extension("gateway.tunnel.socket_tunnel", "relay/relay", *LEG, *SEGMENT),
    extension("gateway.tunnel.beginnings"),
    extension("gateway.tunnel.held", *LEG, *SEGMENT, *POLICY),
    extension("gateway.tunnel.inner", "relay/relay", *LEG, *INNER, *SEGMENT, *POLICY, libraries=("libnghttp2",)),
    extension("gateway.tunnel.sweep"),
    extension("gateway.state.image_load"),
    extension("gateway.tunnel.rejudge", *SEGMENT, *POLICY),
    extension("gateway.tunnel.request", *LEG, *SEGMENT, *POLICY),
    extension("gateway.routing.client"),
    extension("gateway.routing.fields", *MESSAGE),
    extension("gateway.routing.retry", *MESSAGE),
    extension("gateway.routing.route", *MESSAGE, *POLICY),
    extension("gateway.routing.answers", *MESSAGE),
    extension("gateway.routing.credentials", *MESSAGE, *POLICY),
    extension("gateway.routing.mirror", *LEG, *MESSAGE, *SEGMENT),
    extension("gateway.routing.approach", *LEG, *MESSAGE, *SEGMENT, *POLICY),
    extension("gateway.routing.standing", *SEGMENT, *POLICY),
    extension("gateway.routing.leaving", *MESSAGE),
    extension("gateway.routing.telling", *SEGMENT, *POLICY),
    extension("gateway.routing.exchange", *LEG, *MESSAGE, *SEGMENT, "base/contract"),
    extension("gateway.downstream.beginnings", *LEG, *SEGMENT),
    extension("gateway.downstream.http1_connection", "net/silence", "relay/relay", *LEG, *MESSAGE, *SEGMENT, *POLICY),
    extension("gateway.downstream.http2.stream_leg", *LEG, *SEGMENT, *POLICY),
    extension("gateway.downstream.http2.tunnel", "relay/relay", *LEG, *SEGMENT, *POLICY),
    extension("gateway.downstream.http2.connect", "relay/relay", *LEG, *SEGMENT, *POLICY),
    extension("gateway.downstream.http2.answers"),
    extension("gateway.downstream.http2.exchange_stream", *LEG, *MESSAGE, *SEGMENT, *POLICY),
    extension("gateway.downstream.http2.requests", *LEG, *SEGMENT, *POLICY),
    extension("gateway.downstream.http2.connection", *LEG, *SEGMENT, *POLICY),
    extension("gateway.downstream.codecs"),
    extension("gateway.downstream.entrance", "bytes/proxy_header", *LEG, *SEGMENT, *POLICY),
    extension("gateway.downstream.stream_connection", "bytes/proxy_header", "relay/relay", *LEG, *SEGMENT, *POLICY),
    extension("gateway.downstream.listener", *SEGMENT, *POLICY),
    extension("supervisor.policy.builder", *BUILDER),
    extension("supervisor.policy.regex.determinise"),
    extension("supervisor.policy.regex.minimise"),
    extension("supervisor.source.yaml_composer", libraries=("yaml-0.1",)),
    extension("supervisor.policy.workload_table", "shared/workloads", "bytes/addr", "base/contract"),
]

DIRECTIVES = {"wraparound": False, "cdivision": True, "binding": True} | dict.fromkeys(
    ("boundscheck", "initializedcheck", "nonecheck"), CHECKED
)
# For tests alone, never part of what is installed: they deliver callbacks that nothing else would (`make build`).
PROBES = (
    [
        extension("tests.support.callback_probe", *LEG, *SEGMENT, *POLICY),
        extension("tests.support.h2_core_probe", *MESSAGE),
        extension("tests.support.h2_server_probe"),
        extension("tests.support.h2_client_probe"),
        extension("tests.support.loop_probe", *SEGMENT),
        extension("tests.support.queue_probe"),
        extension("tests.support.rejudge_probe", "relay/relay", *LEG, *SEGMENT, *POLICY),
        extension("tests.support.seeded_probe", *POLICY, "policy/describe", "net/local", defines=("SL_SEED_BUGS",)),
        extension("tests.support.leg_probe", *LEG),
        extension("tests.support.hand_probe"),
        extension("tests.support.lookup_probe", *POLICY),
        extension("tests.support.message_probe", *MESSAGE),
        extension("tests.support.proto_probe", "bytes/addr", "shared/limit_table"),
    ]
    if os.environ.get("SLUICE_PROBES")
    else []
)


def modules() -> list[Extension]:
    """The extensions, with their Cython translated; none for a pure install."""
    if os.environ.get("SLUICE_PURE"):
        return []
    translated: list[Extension] = cythonize(
        EXTENSIONS + PROBES,
        language_level=3,
        compiler_directives=DIRECTIVES,
        nthreads=os.cpu_count() or 1,
        build_dir="build/checked" if CHECKED else None,  # its C is another one, and must not be taken for ours
    )
    return translated


NOTE = (
    "Sluice is an application: install it into an environment of its own. Its Python half is imported as `supervisor`, "
    "as the process manager of that name is: in one environment each overwrites the other's files."
)
if {"bdist_wheel", "install"} & set(sys.argv):
    print(NOTE, flush=True)  # `pip install -v` shows it
setup(ext_modules=modules(), cmdclass={"build_ext": BuildExtension})
