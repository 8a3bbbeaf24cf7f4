"""Builds the compiled half of Sluice: one extension per gateway module, each linked with the C units it needs.

SLUICE_SANITIZE=address,undefined builds instrumented extensions (`make asan`).
"""

import os
import subprocess

from Cython.Build import cythonize
from setuptools import Extension, setup

WARNINGS = ["-Wall", "-Wextra"]
# Generated C is not ours to mend: Cython's output is compiled with the plain warnings, our units with the strict ones
# (csrc/ is built strictly by tests/csrc/Makefile, which `make lint` runs).
QUIET = ["-Wno-unused-function", "-Wno-unused-parameter", "-Wno-missing-field-initializers", "-Wno-cast-function-type"]
sanitize = os.environ.get("SLUICE_SANITIZE", "")
SANITIZE = [f"-fsanitize={sanitize}", "-fno-omit-frame-pointer", "-g"] if sanitize else []


def pkg_config(*packages: str) -> tuple[list[str], list[str]]:
    """Compile and link flags of system libraries."""
    flags = [subprocess.run(["pkg-config", what, *packages], check=True, capture_output=True, text=True).stdout.split() for what in ("--cflags", "--libs")]
    return flags[0], flags[1]


def extension(name: str, *units: str, libraries: tuple[str, ...] = ()) -> Extension:
    """A Cython module and the C units of csrc/ linked into it."""
    cflags, libs = pkg_config(*libraries) if libraries else ([], [])
    return Extension(
        name,
        [name.replace(".", "/") + ".pyx", *(f"csrc/{unit}.c" for unit in units)],
        include_dirs=["csrc"],
        depends=[f"csrc/{file}" for file in os.listdir("csrc")],
        extra_compile_args=["-std=gnu11", "-O2", "-fvisibility=hidden", *WARNINGS, *QUIET, *SANITIZE, *cflags],
        extra_link_args=[*SANITIZE, *libs],
    )


POLICY = ("addr", "name", "image", "decide")
EXTENSIONS = [
    extension("gateway.policy", *POLICY),
    extension("supervisor.policy.builder", "addr", "name", "image", "builder"),
]

setup(
    ext_modules=cythonize(
        EXTENSIONS,
        language_level=3,
        compiler_directives={"boundscheck": False, "wraparound": False, "cdivision": True, "initializedcheck": False, "binding": True},
    )
)
