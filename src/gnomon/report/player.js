// Steps through the races of a page. Keys act on the race used last: ← → ↑ ↓ step, Home and End, a: private accesses too.
'use strict';
let active = null;

class Race {
  constructor(section) {
    this.section = section;
    this.data = JSON.parse(section.querySelector('script.data').textContent);
    this.rows = [...section.querySelectorAll('.row')];
    this.at = -1;
    this.every = section.querySelector('.every');
    this.slider = section.querySelector('.slider');
    this.list = section.querySelector('.rows');
    const on = (name, act) => section.querySelector(name).addEventListener('click', act);
    on('.first', () => this.show(-1));
    on('.back', () => this.step(-1));
    on('.on', () => this.step(1));
    on('.last', () => this.end());
    this.slider.addEventListener('input', () => this.show(this.shown()[this.slider.value - 1] ?? -1));
    this.every.addEventListener('change', () => { section.classList.toggle('all', this.every.checked); this.show(this.at); });
    this.rows.forEach((row, n) => row.addEventListener('click', () => this.show(n)));
    section.addEventListener('pointerdown', () => { active = this; });
    section.addEventListener('focusin', () => { active = this; });
    this.show(-1);
  }

  // Numbers of the moments that have a line now.
  shown() {
    return this.rows.flatMap((row, n) => (this.every.checked || !row.classList.contains('private') ? [n] : []));
  }

  step(by) {
    const lines = this.shown();
    const next = by > 0 ? lines.find((n) => n > this.at) : lines.findLast((n) => n < this.at);
    if (next !== undefined) this.show(next);
    else if (by < 0) this.show(-1);
    else if (this.data.loop >= 0) this.show(lines.find((n) => n >= this.data.loop) ?? this.at);
  }

  end() {
    this.show(this.shown().at(-1) ?? -1);
  }

  show(n) {
    const { data, section } = this;
    this.at = n;
    const lines = this.shown();
    const place = lines.filter((line) => line <= n).length;
    this.rows.forEach((row, i) => {
      row.classList.toggle('now', i === n);
      row.classList.toggle('later', i > n);
      row.setAttribute('aria-selected', i === n);
    });
    this.slider.max = lines.length;
    this.slider.value = place;
    section.querySelector('.where').textContent = `${place} / ${lines.length}`;
    const step = data.steps[n];
    section.querySelector('.say').textContent = step ? `${data.threads[step.t]}: ${step.x}` : 'Before the first step.';
    this.scroll();
    this.source(step);
    this.tables(n);
    this.words(n);
    this.buffers(step);
  }

  // Keeps the current line in sight inside the timeline, without moving the page.
  scroll() {
    const row = this.rows[this.at];
    if (!row) { this.list.scrollTop = 0; this.list.removeAttribute('aria-activedescendant'); return; }
    this.list.setAttribute('aria-activedescendant', row.id);
    const top = row.offsetTop;
    const room = this.list.clientHeight;
    if (top < this.list.scrollTop + 40 || top + row.offsetHeight > this.list.scrollTop + room - 40) this.list.scrollTop = top - room / 2;
  }

  source(step) {
    const panel = this.section.querySelector('.source .content');
    panel.replaceChildren();
    const file = step && this.data.files[step.f];
    this.section.querySelector('.source h3').textContent = step && step.s ? step.s : 'Source';
    panel.classList.toggle('prose', !file);
    if (!file) { panel.append(step ? 'The store buffer gives its oldest store to memory.' : 'Nothing has run yet.'); return; }
    for (let n = step.l - 7; n <= step.l + 7; n += 1) {
      if (!(n in file)) continue;
      const line = document.createElement('span');
      line.className = n === step.l ? 'line now' : 'line';
      line.dataset.number = n;
      line.textContent = `${file[n]}\n`;
      panel.append(line);
    }
    const now = panel.querySelector('.now');
    if (now) panel.scrollTop = now.offsetTop - panel.clientHeight / 2;
  }

  // The picture before and after this step; private steps between two lines belong to the later line.
  tables(n) {
    const { data, section } = this;
    const panel = section.querySelector('.tables');
    const from = this.shown().findLast((line) => line < n) ?? -1;
    const number = (i) => (i < 0 ? data.first : data.steps[i].p);
    const before = n < 0 ? data.first : number(from);
    const after = number(n);
    panel.hidden = after < 0;
    if (after < 0) return;
    const touched = new Set(data.steps.slice(from + 1, n + 1).filter((s) => s.a).map((s) => String(s.a)));
    const draw = (name, picture) => {
      const figure = section.querySelector(`.${name}`);
      figure.lastElementChild.innerHTML = data.pictures[picture];
      figure.querySelectorAll('[data-at]').forEach((cell) => cell.classList.toggle('touched', touched.has(cell.dataset.at)));
    };
    section.querySelector('.before').hidden = before === after;
    section.querySelector('.after figcaption').textContent = before === after ? 'unchanged by this step' : 'after';
    if (before !== after) draw('before', before);
    draw('after', after);
  }

  words(n) {
    const words = new Map();
    this.data.steps.slice(0, n + 1).forEach((step, i) => {
      if (step.w) words.set(step.a, [...step.w, i]);
    });
    const things = new Map();
    for (const [thing, name, value, when] of words.values()) {
      if (!things.has(thing)) things.set(thing, []);
      things.get(thing).push([name, value, when]);
    }
    const from = this.shown().findLast((line) => line < n) ?? -1;
    const box = this.section.querySelector('.words .content');
    box.replaceChildren();
    for (const [, rows] of things) {
      const list = document.createElement('dl');
      for (const [name, value, when] of rows) {
        const key = document.createElement('dt');
        const word = document.createElement('dd');
        key.textContent = name;
        word.textContent = value;
        if (when > from) { key.className = 'touched'; word.className = 'touched'; }
        list.append(key, word);
      }
      box.append(list);
    }
    if (!things.size) box.append('Nothing touched yet.');
  }

  buffers(step) {
    const box = this.section.querySelector('.buffers .content');
    if (!box) return;
    box.replaceChildren();
    this.data.threads.forEach((thread, t) => {
      const line = document.createElement('div');
      const name = document.createElement('span');
      name.className = `head t${t}`;
      name.textContent = thread;
      const held = step && step.b ? step.b[t] : '';
      const text = document.createElement('span');
      text.textContent = held || 'empty';
      if (!held) text.className = 'dim';
      line.append(name, ' ', text);
      box.append(line);
    });
  }
}

const races = [...document.querySelectorAll('section.race')];
const players = new Map();
const player = (section) => {
  if (!players.has(section)) players.set(section, new Race(section));
  return players.get(section);
};
for (const section of races) {
  const details = section.closest('details');
  if (!details) { active = player(section); continue; }
  details.addEventListener('toggle', () => { if (details.open) active = player(section); });
  if (details.open) active = player(section);
}
const follow = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  const details = target && target.querySelector('details.evidence');
  if (details) details.open = true;
};
addEventListener('hashchange', follow);
follow();

const KEYS = {
  ArrowLeft: (r) => r.step(-1),
  ArrowUp: (r) => r.step(-1),
  ArrowRight: (r) => r.step(1),
  ArrowDown: (r) => r.step(1),
  Home: (r) => r.show(-1),
  End: (r) => r.end(),
  a: (r) => r.every.click(),
};
document.addEventListener('keydown', (event) => {
  if (!active || event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
  // In a page of many races keys are the page's own again once this one is closed or the focus is elsewhere.
  const box = active.section.closest('details');
  if (box && (!box.open || (document.activeElement !== document.body && !box.contains(document.activeElement)))) return;
  if (event.target instanceof Element && event.target.closest('pre') && event.key.startsWith('Arrow')) return;
  event.preventDefault();
  KEYS[event.key](active);
});
