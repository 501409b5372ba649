"""The dialect: is each thing it forbids caught, and does the package obey?"""

import ast
from pathlib import Path

import pytest

import gnomon
from gnomon.lang.cache import KERNEL_LAYERS, kernel_sources
from gnomon.lang.lint import lint_file, lint_function

FORBIDDEN = {
    "true division": "x = a / b",
    "floor division": "x = a // b",
    "remainder": "x = a % b",
    "power": "x = a ** b",
    "matrix product": "x = a @ b",
    "augmented division": "a //= b",
    "a float": "x = 1.5",
    "a string": "x = 'text'",
    "None": "x = None",
    "a complex number": "x = 1j",
    "a subscript": "x = m[a]",
    "a store to a subscript": "m[a] = b",
    "a store to an attribute": "m.words = b",
    "a nested attribute": "x = a.b.c",
    "a tuple": "x = (a, b)",
    "unpacking": "x, y = a, b",
    "two targets": "x = y = a",
    "a list": "x = [a]",
    "a comprehension": "x = [i for i in range(a)]",
    "a dict": "x = {}",
    "a lambda": "x = lambda: 1",
    "a closure": "def inner():\n        return 1",
    "a class": "class Inner:\n        pass",
    "an import": "import os",
    "raise": "raise ValueError",
    "try": "try:\n        a = b\n    except ValueError:\n        a = b",
    "assert": "assert a",
    "with": "with a:\n        pass",
    "global": "global a",
    "del": "del a",
    "yield": "yield a",
    "for over something else": "for x in a:\n        pass",
    "for … else": "for x in range(a):\n        pass\n    else:\n        pass",
    "while … else": "while a:\n        pass\n    else:\n        pass",
    "is": "x = a is b",
    "in": "x = a in b",
    "a method call": "x = a.bit_length()",
    "a keyword argument": "x = mb(a=1)",
    "unpacked arguments": "x = mb(*a)",
    "recursion": "x = k(m, a, b)",
    "a statement without effect": "a",
    "an f-string": "x = f'{a}'",
    "a walrus": "x = (y := a)",
    "an annotation": "x: int = a",
}


def faults(source: str) -> list[str]:
    tree = ast.parse(source)
    return [f.reason for f in lint_function(tree.body[0], "test.py")]


def in_kernel(statement: str) -> str:
    return f'@kernel\ndef k(m, a, b):\n    """A kernel."""\n    {statement}\n    return 0\n'


@pytest.mark.parametrize("what", FORBIDDEN)
def test_is_it_caught(what):
    assert faults(in_kernel(FORBIDDEN[what]))


@pytest.mark.parametrize(
    "head",
    ["def k(m, a=1):", "def k(m, *a):", "def k(m, *, a):", "def k(m, **a):", "def k(m, a, b, c, d, e, f, g, h):"],
)
def test_is_this_list_of_arguments_caught(head):
    assert faults(f'@kernel\n{head}\n    """A kernel."""\n    return 0\n')


def test_is_a_kernel_without_docstring_caught():
    assert faults("@kernel\ndef k(m):\n    return 0\n") == ["kernel k has no docstring"]


def test_is_everything_the_dialect_has_let_through():
    body = """x = read_once(m, a + SP.gfn) << 3
    x += 1
    while x > 0 and not (x & 1):
        for i in range(a, b):
            if i == 3:
                continue
            elif i != 4 or ~x >= -1:
                break
            else:
                pass
        write_once(m, a, x | 2 ^ b)
        x = 1 if a < b else 0"""
    assert faults(in_kernel(body)) == []


@pytest.mark.parametrize("layer", KERNEL_LAYERS)
def test_does_every_kernel_of_the_package_obey(layer):
    package = Path(gnomon.__file__).parent
    assert [str(f) for path in kernel_sources(package) if path.parent.name == layer for f in lint_file(path)] == []
