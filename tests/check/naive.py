"""An independent explorer of litmus tests, as plain as can be: the oracle of the native one."""


def outcomes(test, tso: bool) -> set[tuple]:
    """Every final state of a parsed litmus test, as tuples in the order of test.observed."""
    initial = {name: 0 for name in test.variables} | {k: v for k, v in test.initial.items() if ":" not in k}
    registers = {k: v for k, v in test.initial.items() if ":" in k}
    start = (tuple(sorted(initial.items())), tuple(sorted(registers.items())), tuple((0, ()) for _ in test.threads))
    seen, todo, finals = {start}, [start], set()
    while todo:
        state = todo.pop()
        following = list(_successors(test, state, tso))
        if not following:
            values = dict(state[0]) | dict(state[1])
            finals.add(tuple(values.get(name, 0) for name in test.observed))
        for after in following:
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return finals


def _successors(test, state, tso):
    memory, registers, threads = state
    for t, (pc, buffer) in enumerate(threads):
        if buffer:
            yield _state(dict(memory) | dict(buffer[:1]), dict(registers), threads, t, pc, buffer[1:])
        if pc < len(test.threads[t]):
            yield from _execute(test.threads[t][pc], dict(memory), dict(registers), threads, t, pc, buffer, tso)


def _state(memory, registers, threads, t, pc, buffer):
    changed = (*threads[:t], (pc, buffer), *threads[t + 1 :])
    return tuple(sorted(memory.items())), tuple(sorted(registers.items())), changed


def _execute(instruction, memory, registers, threads, t, pc, buffer, tso):
    def read(word):
        return dict(memory | dict(buffer))[word[1:-1]] if buffer else memory[word[1:-1]]

    def register(name):
        return registers.get(f"{t}:{name}", 0)

    match instruction:
        case ("MOV", str(to), source) if to.startswith("["):
            value = source if isinstance(source, int) else register(source)
            if tso:
                buffer = (*buffer, (to[1:-1], value))
            else:
                memory[to[1:-1]] = value
        case ("MOV", to, source):
            known = isinstance(source, int)
            registers[f"{t}:{to}"] = source if known else read(source) if source.startswith("[") else register(source)
        case ("XCHG", word, source):
            if buffer:
                return
            memory[word[1:-1]], registers[f"{t}:{source}"] = register(source), memory[word[1:-1]]
        case ("INC", word):
            if buffer:
                return
            memory[word[1:-1]] += 1
        case ("MFENCE",):
            if buffer:
                return
    yield _state(memory, registers, threads, t, pc + 1, buffer)
