"""native: LLVM text to machine code in this process, kept on disk by digest of the text so that a scenario compiles once."""

from __future__ import annotations

import hashlib

import llvmlite
import llvmlite.binding as binding

from gnomon.lang import cache

_KEPT: dict[str, Native] = {}


class Native:
    """The compiled functions of one module: `address("step")`."""

    def __init__(self, text: str):
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        machine = binding.Target.from_default_triple().create_target_machine(opt=2)
        module = binding.parse_assembly(text)
        key = hashlib.blake2b((llvmlite.__version__ + text).encode(), digest_size=16).hexdigest()
        stored = cache.DIRECTORY / f"step-{key}.o" if cache.DIRECTORY is not None else None
        if stored is None or not stored.exists():
            options = binding.create_pipeline_tuning_options(speed_level=1)
            builder = binding.create_pass_builder(machine, options)
            builder.getModulePassManager().run(module, builder)
        self._engine = binding.create_mcjit_compiler(module, machine)
        if stored is not None:
            self._engine.set_object_cache(
                lambda _, code: stored.write_bytes(code), lambda _: stored.read_bytes() if stored.exists() else None
            )
        self._engine.finalize_object()

    def address(self, name: str) -> int:
        return self._engine.get_function_address(name)


def compile_text(text: str) -> Native:
    """Machine code of an LLVM module, made once a process and once a cache."""
    key = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    if key not in _KEPT:
        _KEPT[key] = Native(text)
    return _KEPT[key]
