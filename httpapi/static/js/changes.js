// The changed rows of a table, a window of them at a time, and the choice of those that are
// brought back.

import * as api from './api.js';
import { attr, busy, el, icon, makeTurns, show, text } from './dom.js';
import { count, plural } from './format.js';
import { later, notice, say } from './notices.js';
import { attempt } from './problems.js';
import { changeTable, nameOf } from './rows.js';
import { may } from './store.js';
import { makeWhen } from './when.js';

const page = 100; // rows that are asked for at a time
const most = 500; // rows in the document: a table of more makes every step of a person wait
const mostKeys = 1000; // rows that can be chosen one by one, the server's limit

let serial = 0;

const kinds = [['', 'All', (d) => d.removed + d.changed + d.added], ['delete', 'Removed', (d) => d.removed],
  ['update', 'Changed', (d) => d.changed], ['insert', 'Added', (d) => d.added]];

// whole says that a key can be sent back as it came: long values are cut off.
const whole = (key) => Boolean(key) && Object.values(key).every((v) => v === null || typeof v !== 'object' || ('base64' in v && !('bytes' in v)));

// refusal says why rows of a table cannot be brought back; '' where they can.
function refusal({ then, now, schema }) {
  if (schema === 'removed' || !now) return 'The table itself is gone. Rows come back into a table that is there: restore this state, or go back to it in another file with snapd restore --to.';
  if (then?.type === 'virtual') return 'This is a virtual table: its rows come back with those of the table that it is made from.';
  return '';
}

// makeChoice is what chooses rows of a table. onChange is called after each change, bring with the choice when it is to be brought back.
// was is the choice before the rows were loaded again; null for none.
function makeChoice(t, of, was, onChange, bring) {
  const { removed, changed, compared_by: by } = t.diff;
  const keys = new Map(by === 'key' ? was?.keys : []); // the key as text -> its change
  const all = { gone: Boolean(was?.gone && removed), changed: Boolean(was?.changed && changed && by === 'key') };
  const box = (name, n, words) => {
    const input = el('input', { type: 'checkbox', checked: all[name], 'data-testid': `choose-${name}` });
    input.addEventListener('change', () => {
      all[name] = input.checked;
      keys.clear();
      update();
    });
    return { input, node: n > 0 && el('label', { class: 'check' }, input, el('span', {}, `All ${count(n)} that ${words}`)) };
  };
  const gone = box('gone', removed, removed === 1 ? 'is gone' : 'are gone');
  const others = box('changed', by === 'key' ? changed : 0, changed === 1 ? 'is different now' : 'are different now');
  const along = el('input', { type: 'checkbox', checked: was?.along, 'data-testid': 'choose-along' });
  const button = el('button', { type: 'button', class: 'primary', 'data-testid': 'bring-back' }, icon('undo'), el('span', {}));
  const hint = by === 'key' ? 'Or tick single rows in the list.' : 'This table has no primary key: rows that are gone come back all together.';
  const node = el('div', { class: 'choice', role: 'group', 'aria-label': `Bring rows of ${t.name} in ${of} back` },
    el('div', { class: 'choice-which' }, gone.node, others.node, el('p', { class: 'muted small' }, hint)),
    el('label', { class: 'check' }, along, el('span', {}, 'With what belongs to them in other tables ',
      el('span', { class: 'muted' }, '– what referred to a row and went with it, and what a row refers to, where it is gone, too'))),
    el('p', { class: 'buttons' }, button));

  const any = () => all.gone || all.changed;
  const size = () => (any() ? (all.gone ? removed : 0) + (all.changed ? changed : 0) : keys.size);
  // covers says that a change is chosen by a box, and not by itself.
  const covers = ({ op }) => (op === 'delete' && all.gone) || (op === 'update' && all.changed);
  const has = (change) => covers(change) || keys.has(JSON.stringify(change.key));

  function update() {
    const n = size();
    text(button.lastElementChild, n ? `Bring ${plural(n, 'row')} back…` : 'Bring rows back…');
    attr(button, 'aria-disabled', n === 0);
    onChange();
  }

  // choose takes single rows, or leaves them. It returns how many there was no more room for.
  function choose(changes, on) {
    let left = 0;
    for (const change of changes) {
      const key = JSON.stringify(change.key);
      if (!on) keys.delete(key);
      else if (keys.size < mostKeys) keys.set(key, change);
      else left += 1;
    }
    update();
    return left;
  }

  button.addEventListener('click', () => busy(button, async () => {
    if (size() === 0) {
      say('No row is chosen yet.');
      return;
    }
    const chosen = any() ? { missing: all.gone, changed: all.changed } : { keys: [...keys.values()].map(({ key }) => key) };
    // Who chose rows that are different now wants them as they were.
    const replaces = all.changed || [...keys.values()].some(({ op }) => op === 'update');
    await bring({ table: t.name, with_references: along.checked, ...chosen }, replaces, button);
  }));
  update();
  // pickable are the changes that can be chosen one by one.
  const pickable = ({ op, key }) => by === 'key' && op !== 'insert' && whole(key);
  // only leaves those rows that still differ in the same way.
  const only = (changes) => {
    const still = new Map(changes.map(({ op, key }) => [JSON.stringify(key), op]));
    for (const [key, { op }] of keys) if (still.get(key) !== op) keys.delete(key);
    update();
  };
  const kept = () => ({ keys, ...all, along: along.checked });
  return { node, has, choose, only, kept, pickable, locked: any };
}

// makeBoxes are the boxes before the lines, and the one above them, which is for all that are shown.
function makeBoxes(choice, shown) {
  const boxes = new Map(); // change -> its box
  const above = el('input', { type: 'checkbox', 'aria-label': 'Choose all rows that are shown', 'data-testid': 'choose-shown' });
  const pick = (changes, on) => {
    const left = choice.choose(changes, on);
    if (left) notice(`At most ${count(mostKeys)} rows can be chosen one by one`, { tone: 'warn', hint: 'Choose all that are gone or different, or bring these back first' });
  };
  above.addEventListener('change', () => pick(shown().filter(choice.pickable), above.checked));
  const first = (change) => {
    if (!choice.pickable(change)) return null;
    const input = el('input', { type: 'checkbox', 'aria-label': `Choose ${nameOf(change)}` });
    input.addEventListener('change', () => pick([change], input.checked));
    boxes.set(change, input);
    return input;
  };
  const render = () => {
    const changes = shown().filter(choice.pickable);
    const now = new Set(changes);
    for (const [change, input] of boxes) {
      if (!now.has(change)) boxes.delete(change);
      input.checked = choice.has(change);
      input.disabled = choice.locked();
    }
    const n = changes.filter(choice.has).length;
    above.checked = n > 0 && n === changes.length;
    above.indeterminate = n > 0 && n < changes.length;
    above.disabled = choice.locked() || changes.length === 0;
  };
  return { above, first, render };
}

// makeFilter are buttons for the kinds of changes that there are; null where there is one kind.
function makeFilter(diff, chosen, choose) {
  const some = kinds.filter(([, , of]) => of(diff) > 0);
  if (some.length < 3) return null;
  serial += 1;
  const name = `changes-${serial}`;
  const input = (op) => {
    const radio = el('input', { type: 'radio', name, value: op, checked: op === chosen });
    radio.addEventListener('change', () => choose(op));
    return radio;
  };
  return el('fieldset', { class: 'segments' }, el('legend', { class: 'hidden' }, 'Rows that are listed'),
    some.map(([op, words, of]) => el('label', { 'data-testid': `only-${op || 'all'}` }, input(op), el('span', {}, `${words} ${count(of(diff))}`))));
}

// makeChanges shows the changed rows of the table t of a state, and brings some of them back where a person may. was is what the one had
// that showed them before, null for none; touched says that they are others since.
export function makeChanges({ id, at, name: of }, t, was, touched) {
  const { diff } = t;
  const when = makeWhen(t.name, at, of);
  const refused = refusal(t);
  let unsure = touched || was?.unsure; // rows that were chosen may be as they were
  let lines = []; // the window
  let op = kinds.some(([kind, , of]) => kind === was?.op && of(diff) > 0) ? was.op : ''; // the only kind that is listed
  const total = () => kinds.find(([kind]) => kind === op)[2](diff);
  let start = was && was.op === op && was.start < total() ? was.start : 0; // how many are before it
  const turn = makeTurns();

  const bring = async (request, replaces, opener) => {
    await (await later(import('./bringback.js')))?.bringBack(id, request, replaces, opener);
  };
  let boxes = null;
  const choice = may('restore') && !refused && diff.removed + diff.changed > 0 ? makeChoice(t, of, was?.choice && touched ? { ...was.choice, gone: false, changed: false } : was?.choice, () => boxes?.render(), bring) : null;
  if (choice && diff.compared_by === 'key') boxes = makeBoxes(choice, () => lines);
  const table = changeTable(`Rows of ${t.name} that changed since ${of}`, { first: boxes?.first, firstHead: boxes?.above });
  const where = el('p', { class: 'muted small grow', 'data-testid': 'inside-where' });
  const before = el('button', { type: 'button', hidden: true, 'data-testid': 'inside-before' }, `Show ${page} before`);
  const more = el('button', { type: 'button', hidden: true, 'data-testid': 'inside-more' }, `Show ${page} more`);
  const foot = el('p', { class: 'changes-more' }, where, more);

  // offer shows a button or hides it, and keeps the focus near.
  function offer(button, offered) {
    if (!offered && document.activeElement === button) table.node.focus({ preventScroll: true });
    show(button, offered);
  }

  function draw() {
    table.show(lines);
    boxes?.render();
    text(where, total() > page ? `Rows ${count(start + 1)} to ${count(start + lines.length)} of ${count(total())}` : '');
    offer(before, start > 0);
    offer(more, lines.length > 0 && start + lines.length < total());
    show(foot, Boolean(where.textContent) || !more.hidden);
  }

  const ask = async (offset, limit) => {
    const isLast = turn();
    const answer = await attempt(() => api.diff(id, 'live', { table: t.name, op, limit, offset }));
    if (!isLast()) return null;
    if (!answer) draw(); // those of another kind are not shown in their place
    return answer ? answer.tables[0]?.rows ?? [] : null;
  };

  // next goes on behind the window, whose beginning goes where it becomes too long.
  async function next(limit = page) {
    const rows = await ask(start + lines.length, limit);
    if (!rows) return;
    lines.push(...rows);
    const over = Math.max(0, lines.length - most);
    lines.splice(0, over);
    start += over;
    draw();
  }

  // load shows as many rows as were shown before. Of those that were chosen, and may be back since, it keeps those that are listed.
  async function load() {
    await next(Math.max(page, was?.rows ?? 0));
    if (unsure) choice?.only(lines);
    unsure = false;
  }

  async function previous() {
    const from = Math.max(0, start - page);
    const rows = await ask(from, start - from);
    if (!rows) return;
    lines = rows.length === start - from ? [...rows, ...lines].slice(0, most) : rows;
    start = from;
    draw();
  }

  async function filter(kind) {
    op = kind;
    lines = [];
    start = 0;
    await next();
    table.node.scrollTop = 0;
  }

  before.addEventListener('click', () => busy(before, previous));
  more.addEventListener('click', () => busy(more, () => next()));
  const node = el('div', { class: 'changes' }, refused && el('p', { class: 'muted' }, refused), choice?.node,
    el('div', { class: 'changes-head' }, makeFilter(diff, op, filter), when.button), when.answer, before, table.node, foot);
  const kept = () => ({ op, start, rows: lines.length, choice: choice?.kept(), unsure });
  return { node, load, kept };
}
