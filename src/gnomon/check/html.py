"""html: a counterexample as one self-contained page to step through, and the table of claims."""

from __future__ import annotations

from html import escape

import msgspec

from gnomon.check.result import Result
from gnomon.check.scenario import Scenario
from gnomon.check.timeline import Timeline, source

_STYLE = """
:root{color-scheme:light dark;--line:color-mix(in srgb,currentColor 20%,transparent)}
body{font:14px/1.5 ui-monospace,monospace;margin:2rem;max-width:110rem}
table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid var(--line);padding:.15rem .7rem;text-align:left;vertical-align:top}
tr.now{background:color-mix(in srgb,Highlight 25%,transparent)}tr.later{opacity:.35}
.source{opacity:.65}.broken{font-weight:bold}button{font:inherit;padding:.2rem .8rem}
#words{margin-top:1rem;display:grid;grid-template-columns:repeat(auto-fill,minmax(20rem,1fr))}.changed{font-weight:bold}
"""
_SCRIPT = """
const rows=[...document.querySelectorAll('tbody tr')],states=JSON.parse(document.getElementById('states').textContent);let at=0;
function show(n){at=Math.max(0,Math.min(rows.length-1,n));rows.forEach((r,i)=>r.className=i==at?'now':i>at?'later':'');
const before=at?states[at-1]:{};const box=document.getElementById('words');box.replaceChildren();
for(const [k,v] of Object.entries(states[at])){const d=document.createElement('div');
d.textContent=k+' = '+v;if(before[k]!==v)d.className='changed';box.append(d)}
rows[at].scrollIntoView({block:'nearest'})}
document.getElementById('back').onclick=()=>show(at-1);document.getElementById('on').onclick=()=>show(at+1);
onkeydown=e=>{if(e.key=='ArrowLeft'||e.key=='ArrowUp'){show(at-1);e.preventDefault()}
if(e.key=='ArrowRight'||e.key=='ArrowDown'){show(at+1);e.preventDefault()}};
show(0)
"""


def page(scenario: Scenario, result: Result) -> str:
    """The page of a violated result: a row an access, arrow keys to step, the words touched so far below."""
    timeline = Timeline(scenario, result)
    rows, states, words = [], [], {}
    for moment in timeline.lines():
        event, names = moment.event, timeline.names_at(moment.number)
        cells = ["<td></td>"] * len(scenario.threads)
        cells[event.thread] = f"<td{' class=broken' if event.broken else ''}>{escape(moment.text)}</td>"
        rows.append(f"<tr><td>{event.step}</td>{''.join(cells)}<td class=source>{escape(source(event.place))}</td></tr>")
        words[names.word(event.address)] = names.value(event.address, event.after)
        for t, buffer in enumerate(event.buffers):
            label = f"store buffer of {scenario.threads[t].name}"
            words.pop(label, None)
            if buffer:
                words[label] = timeline.buffer_text(buffer)
        states.append(dict(words))
    heads = "".join(f"<th>{escape(t.name)}</th>" for t in scenario.threads)
    title = f"{scenario.name} model={result.model} violated: {result.property}, {len(result.schedule)} steps"
    data = msgspec.json.encode(states).decode().replace("<", "\\u003c")
    body = (
        f"<h1>{escape(title)}</h1><p><button id=back>back</button> <button id=on>step</button> or the arrow keys</p>"
        f"<table><thead><tr><th>step</th>{heads}<th>source</th></tr></thead><tbody>{''.join(rows)}</tbody></table>"
        f"<div id=words></div><script type=application/json id=states>{data}</script><script>{_SCRIPT}</script>"
    )
    return _document(title, body)


def claims_page(rows) -> str:
    """The table of claims."""
    cells = "".join(
        f"<tr><td>{r.id}</td><td>{escape(r.verdict)}</td><td>{escape(r.claim)}</td><td>{r.states:,}</td><td>{r.steps or ''}</td>"
        f"<td>{r.seconds:.1f}</td><td>{escape(r.within)}</td><td>{escape(r.command)}</td></tr>"
        for r in rows
    )
    heads = "".join(f"<th>{h}</th>" for h in ("id", "verdict", "claim", "states", "steps", "s", "within", "command"))
    return _document("The claims of the thread", f"<h1>The claims of the thread</h1><table><tr>{heads}</tr>{cells}</table>")


def _document(title: str, body: str) -> str:
    head = f"<meta charset=utf-8><title>{escape(title)}</title><style>{_STYLE}</style>"
    return f"<!doctype html><html lang=en>{head}<body>{body}</body></html>\n"
