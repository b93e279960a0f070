"""The changes made to what gopy generates, each a function from text to text.

gopy's output compiles as it is, but releases the GIL on every call, carries a handle
table and wrappers of thirty slice types that the facade never uses, links libpython, and
needs a Python wrapper module for snake_case names. Each step here removes one of these.
A step that does not find exactly what it replaces raises `UnexpectedOutput`: gopy has changed,
and somebody has to look.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


class UnexpectedOutput(RuntimeError):
    """The generated text is not what a step was written for."""


@dataclass(frozen=True)
class Function:
    """One bound function: gopy's symbol, its snake_case name, parameters, Go comment."""

    symbol: str
    name: str
    parameters: tuple[str, ...]
    doc: str

    @property
    def docstring(self) -> str:
        """The text CPython parses into __text_signature__ and __doc__."""
        return f"{self.name}({', '.join(self.parameters)})\n--\n\n{self.doc}"


# --- The Go file -----------------------------------------------------------------------


_BEFORE_BINDINGS = r"(?=^// --- generated code for package)"


def go_source(text: str, functions: list[Function]) -> str:
    """The generated Go file with all steps applied; goimports formats it afterwards."""
    text = drop_linker_flags(text)
    text = drop_preamble_helpers(text)
    text = drop_handle_table(text)
    return keep_gil(text, functions)


def drop_linker_flags(text: str) -> str:
    """Without `#cgo` lines: they name this machine's folders and link libpython.

    An extension module takes Python's symbols from the interpreter that loads it.
    """
    return _remove(text, r"^#cgo (?:CFLAGS|LDFLAGS):.*\n", expected=2, what="#cgo line")


def drop_preamble_helpers(text: str) -> str:
    """Without the C helpers for values the facade never passes.

    Among them is `typedef uint8_t bool`, which C23 compilers refuse.
    """
    text = _remove(
        text,
        r"^typedef uint8_t bool;\n(?s:.*?)(?=^\*/\nimport \"C\")",
        expected=1,
        what="C helpers",
    )
    return _remove(
        text,
        r"^// boolGoToPy converts(?s:.*?)" + _BEFORE_BINDINGS,
        expected=1,
        what="Go helpers",
    )


def drop_handle_table(text: str) -> str:
    """Without gopy's object handles, its slice wrappers and GoPyInit.

    The facade passes strings and integers only, so nothing would ever be in the table.
    """
    text = _remove(text, r'^\s*"github\.com/go-python/gopy/gopyh".*\n', 1, "import of gopyh")
    text = _remove(
        text,
        r"^// initialization functions -- can be called(?s:.*?)" + _BEFORE_BINDINGS,
        expected=1,
        what="handle functions",
    )
    text = _remove(
        text,
        r"^// ---- External Types Outside of Targeted Packages ---\n(?s:.*?)"
        r"(?=^// ---- Package: api ---)",
        expected=1,
        what="external types",
    )
    if "gopyh" in text or "GoHandle" in text:
        users = re.findall(r"^func (\w+)\(.*GoHandle", text, re.MULTILINE)
        raise UnexpectedOutput(
            f"go/api exports more than functions of int and string: {users or 'types or variables'}"
        )
    return text


def keep_gil(text: str, functions: list[Function]) -> str:
    """Without the release of the GIL around every call.

    Taking it back costs up to 5 ms while another Python thread is busy. go/internal/bridge
    releases it where something may wait.
    """
    exported = re.findall(r"^//export (\w+)$", text, re.MULTILINE)
    if sorted(exported) != sorted(f.symbol for f in functions):
        raise UnexpectedOutput(f"exported {exported}, bound {[f.symbol for f in functions]}")
    text = _remove(
        text,
        r"^\s*_saved_thread := C\.PyEval_SaveThread\(\)\n",
        expected=len(functions),
        what="release of the GIL",
    )
    text = _remove(
        text,
        r"^\s*(?:defer )?C\.PyEval_RestoreThread\(_saved_thread\)\n",
        expected=len(functions),
        what="return of the GIL",
    )
    if "_saved_thread" in text:
        raise UnexpectedOutput("the Go file still releases the GIL somewhere")
    return text


# --- The pybindgen script --------------------------------------------------------------

_BINDING = re.compile(
    r"^(?P<add>add_checked_(?:string_)?function)\(mod, '(?P<symbol>\w+)', "
    r"(?P<result>retval\('(?:int64_t|char\*)'\)), \[(?P<parameters>.*)\]\)$"
)
_PARAMETER = re.compile(r"param\('(?P<type>int64_t|char\*)', '(?P<name>\w+)'\)")


def build_script(text: str, functions: list[Function]) -> str:
    """The pybindgen script that binds the functions under their Python names.

    Parameters are renamed to snake_case as the functions are, and each function gets its
    signature and Go comment as docstring, which is what help() and stubtest read.
    """
    by_symbol = {function.symbol: function for function in functions}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("mod.add_function("):
            continue  # GoPyInit, handles, slices: see drop_handle_table
        found = _BINDING.match(line)
        if found is None:
            if line.startswith("add_"):
                raise UnexpectedOutput(f"facade functions take and return int and str only: {line}")
            lines.append(line)
            continue
        function = by_symbol.pop(found["symbol"])
        parameters = _PARAMETER.sub(
            lambda p: f"param('{p['type']}', '{snake_case(p['name'])}')", found["parameters"]
        )
        lines.append(
            f"{found['add']}(mod, '{function.symbol}', {found['result']}, [{parameters}], "
            f"custom_name='{function.name}', docstring={_c_text(function.docstring)!r})"
        )
    if by_symbol:
        raise UnexpectedOutput(f"the pybindgen script does not bind {sorted(by_symbol)}")
    script = "\n".join(lines) + "\n"
    # The header that cgo writes for the package the C file is compiled in.
    old, new = "mod.add_include('\"native_go.h\"')", "mod.add_include('\"_cgo_export.h\"')"
    if script.count(old) != 1:
        raise UnexpectedOutput("the pybindgen script does not include native_go.h")
    return script.replace(old, new)


# --- What is bound ---------------------------------------------------------------------


def functions_of(wrapper: str, facade: str) -> list[Function]:
    """The bound functions, from gopy's Python wrapper (its names) and go/api (all names).

    gopy leaves out a function that it cannot bind without a word; here that is an error.
    """
    declared = {
        found["name"]: re.sub(r"^// ?", "", found["comment"], flags=re.MULTILINE).strip()
        for found in _DECLARATION.finditer(facade)
    }
    functions: list[Function] = []
    for block in re.split(r"^def ", wrapper, flags=re.MULTILINE)[1:]:
        head = re.match(r"(\w+)\(([^)]*)\):\n", block)
        result = re.search(r"^\treturn _native\.(\w+)\(", block, re.MULTILINE)
        if head is None or result is None:
            name = block.partition("(")[0]
            raise UnexpectedOutput(f"facade functions return a value; {name} does not")
        parameters = tuple(map(snake_case, filter(None, head[2].split(", "))))
        doc = declared.pop(result[1].removeprefix("api_"), "")
        functions.append(Function(result[1], head[1], parameters, doc))
    if declared:
        raise UnexpectedOutput(f"gopy did not bind {sorted(declared)} of go/api")
    if not functions:
        raise UnexpectedOutput("go/api exports no function")
    return functions


_DECLARATION = re.compile(r"(?P<comment>(?:^//.*\n)*)^func (?P<name>[A-Z]\w*)\(", re.MULTILINE)


def snake_case(name: str) -> str:
    """gopy's own rule for -rename (bind/utils.go, toSnakeCase)."""
    name = re.sub(r"([A-Z])([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()


def _remove(text: str, pattern: str, expected: int, what: str) -> str:
    text, count = re.subn(pattern, "", text, flags=re.MULTILINE)
    if count != expected:
        raise UnexpectedOutput(f"gopy's output has {count} times: {what}, expected {expected}")
    return text


def _c_text(text: str) -> str:
    """The body of a C string literal, which pybindgen pastes as it is."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
