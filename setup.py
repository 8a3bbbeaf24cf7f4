"""Builds the compiled half of Sluice: one extension per gateway module, each linked with the C units it needs.

SLUICE_SANITIZE=address,undefined builds instrumented extensions (`make asan`), SLUICE_CHECKED=1 those that check None
and bounds (`make debug`), SLUICE_PROBES=1 what tests need beside them. SLUICE_PURE=1 leaves the extensions out:
the Makefile compiles them in place, incrementally, and installs only the Python half from here.
"""

import copy
import os
import subprocess
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

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
SANITIZE = [f"-fsanitize={sanitize}", "-fno-omit-frame-pointer", "-g"] if sanitize else []


class BuildExtension(build_ext):
    """Objects of an extension lie apart from every other's, so that extensions that share C units build in parallel."""

    def build_extension(self, ext: Extension) -> None:
        alone = copy.copy(self)
        alone.build_temp = str(Path(self.build_temp) / ext.name)
        super(BuildExtension, alone).build_extension(ext)


def pkg_config(*packages: str) -> tuple[list[str], list[str]]:
    """Compile and link flags of system libraries."""

    def ask(what: str) -> list[str]:
        command = ["pkg-config", what, *packages]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()

    return ask("--cflags"), ask("--libs")


def extension(name: str, *units: str, libraries: tuple[str, ...] = ()) -> Extension:
    """A Cython module and the C units of csrc/ linked into it."""
    cflags, libs = pkg_config(*libraries) if libraries else ([], [])
    return Extension(
        name,
        [name.replace(".", "/") + ".pyx", *(f"csrc/{unit}.c" for unit in units)],
        include_dirs=["csrc"],
        depends=["setup.py", *map(str, sorted(Path("csrc").glob("*.h")))],
        define_macros=[("_GNU_SOURCE", "1")],
        extra_compile_args=["-std=gnu11", "-O2", "-fvisibility=hidden", *HARDEN, *WARNINGS, *QUIET, *SANITIZE, *cflags],
        extra_link_args=[*HARDEN_LINK, *SANITIZE, *libs],
    )


POLICY = ("contract", "addr", "name", "image", "lookup", "list_line", "source", "decide")
BUILDER = (
    "addr", "name", "image", "validate",
    "builder", "builder_sources", "builder_names", "builder_prefixes", "builder_layout",
)
INNER = ("inner", "hello", "inner_http1", "inner_http2", "inner_authority")
SEGMENT = ("segment", "segment_text", "live_tunnels")
EXTENSIONS = [
    extension("gateway.mapped_image", "image", "validate", "contract"),
    extension("gateway.policy", *POLICY, "local"),
    extension("gateway.codec", "addr", "name"),
    extension("gateway.socks"),
    extension("gateway.answers"),
    extension("gateway.http1"),
    extension("gateway.sniff"),
    extension("gateway.h2_frames"),
    extension("gateway.h2_hpack", libraries=("libnghttp2",)),
    extension("gateway.h2_settings"),
    extension("gateway.h2_budget"),
    extension("gateway.h2_streams"),
    extension("gateway.h2_head"),
    extension("gateway.h2_outbound"),
    extension("gateway.h2_session"),
    extension("gateway.h2_probe"),
    extension("gateway.h2_client"),
    extension("gateway.h2_client_probe"),
    extension("gateway.h2_work"),
    extension("gateway.privileges"),
    extension("gateway.loop", "timers", *SEGMENT),
    extension("gateway.watch"),
    extension("gateway.sockets", "addr"),
    extension("gateway.source_pool", "addr"),
    extension("gateway.local_routes", "local", *POLICY),
    extension("gateway.hosts", "addr", "name"),
    extension("gateway.dns_cache"),
    extension("gateway.dns_channel", "dns_answer", libraries=("libcares",)),
    extension("gateway.dns_waiter", "addr"),
    extension("gateway.resolver", "addr"),
    extension("gateway.handshake", "addr"),
    extension("gateway.parent", "addr"),
    extension("gateway.limits", "limit_table", "addr"),
    extension("gateway.queues"),
    extension("gateway.queue_probe"),
    extension("gateway.log", "addr", "contract", "log_line", "log_budget", *SEGMENT),
    extension("gateway.logins", *SEGMENT),
    extension("gateway.context", "pipe_pool", *SEGMENT, *POLICY),
    extension("gateway.record", *SEGMENT, *POLICY),
    extension("gateway.race", "dial_error", *SEGMENT, *POLICY),
    extension("gateway.opening", *SEGMENT, *POLICY),
    extension("gateway.parent_stream", *SEGMENT),
    extension("gateway.parent_socket"),
    extension("gateway.parent_connection", "silence", *SEGMENT),
    extension("gateway.parent_pool", *SEGMENT),
    extension("gateway.tunnel", "silence", "relay", "pipe_pool", *SEGMENT),
    extension("gateway.inner", "relay", "pipe_pool", *INNER, *SEGMENT, *POLICY, libraries=("libnghttp2",)),
    extension("gateway.sweep"),
    extension("gateway.load"),
    extension("gateway.rejudge", *SEGMENT, *POLICY),
    extension("gateway.request", *SEGMENT, *POLICY),
    extension("gateway.h2_flow", "relay", "pipe_pool", *SEGMENT, *POLICY),
    extension("gateway.h2_tunnel", "relay", "pipe_pool", *SEGMENT, *POLICY),
    extension("gateway.h2_writer", "relay", "pipe_pool", *SEGMENT, *POLICY),
    extension("gateway.h2_requests", "pipe_pool", *SEGMENT, *POLICY),
    extension("gateway.h2_connection", "silence", "pipe_pool", *SEGMENT, *POLICY),
    extension("gateway.connection", "relay", "pipe_pool", *SEGMENT, *POLICY),
    extension("gateway.listener", "addr", *SEGMENT),
    extension("supervisor.policy.builder", *BUILDER),
]

DIRECTIVES = {"wraparound": False, "cdivision": True, "binding": True} | dict.fromkeys(
    ("boundscheck", "initializedcheck", "nonecheck"), CHECKED
)
# For tests alone, never part of what is installed: they deliver callbacks that nothing else would (`make build`).
PROBES = [extension("tests.gateway.callback_probe", *SEGMENT, *POLICY)] if os.environ.get("SLUICE_PROBES") else []


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


setup(ext_modules=modules(), cmdclass={"build_ext": BuildExtension})
