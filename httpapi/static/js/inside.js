// A look inside a backup or a recovery point: its tables, with what changed in each until now,
// and the rows of one that were removed, added or changed.

import * as api from './api.js';
import { makeChanges } from './changes.js';
import { busy, el, icon, makeTurns, show } from './dom.js';
import { count, plural } from './format.js';
import { chevron } from './line.js';
import { say } from './notices.js';
import { whenEnded } from './operations.js';
import { attempt } from './problems.js';
import { may } from './store.js';
import { changedWords } from './when.js';


// merge joins the tables of a state and of now with what differs, those that differ first.
function merge(then, now, diff) {
  const all = new Map();
  const of = (name) => {
    if (!all.has(name)) all.set(name, { name });
    return all.get(name);
  };
  for (const t of then) of(t.name).then = t;
  for (const t of now) of(t.name).now = t;
  for (const t of diff.tables) of(t.name).diff = t;
  for (const s of diff.schema) if (s.type === 'table' && all.has(s.object)) of(s.object).schema = s.change;
  const size = ({ diff: d, schema }) => (d ? d.removed + d.added + d.changed : 0) + (schema ? 1 : 0);
  return [...all.values()].sort((a, b) => size(b) - size(a) || a.name.localeCompare(b.name));
}

const differs = (t) => Boolean(t.diff || t.schema);
const rowsOf = (t) => (t ? (t.rows === null ? '–' : count(t.rows)) : 'not there');

const schemaWords = { __proto__: null, added: 'The table is new', removed: 'The table is gone', changed: 'Its columns changed' };

function since(t) {
  return [schemaWords[t.schema] ?? '', t.diff ? changedWords(t.diff) : ''].filter(Boolean).join('; ') || 'the same';
}

// line is one table: its part of the table of tables, and what opens it to its rows. was is the line that it had before; touched says that its
// rows are others since.
function line(state, t, was, touched) {
  const { name } = t;
  const had = was?.kept();
  const cells = [
    el('td', { class: differs(t) ? 'strong' : 'muted' }, since(t)),
    el('td', { class: 'number' }, rowsOf(t.then)),
    el('td', { class: 'number' }, rowsOf(t.now)),
  ];
  const body = el('tbody', {});
  if (!t.diff || !may('read')) {
    body.append(el('tr', {}, el('th', { scope: 'row' }, name), cells));
    return { name, body, button: null, isOpen: () => false, open: async () => {}, kept: () => had };
  }
  const button = el('button', { type: 'button', class: 'quiet unfold', 'aria-expanded': 'false', 'data-testid': `inside-${name}` }, chevron(), name);
  const view = makeChanges(state, t, had, touched);
  const below = el('tr', { hidden: true }, el('td', { colspan: '4' }, view.node));
  let loaded = false;
  const toggle = async () => {
    const opens = below.hidden;
    show(below, opens);
    button.setAttribute('aria-expanded', String(opens));
    if (!opens || loaded) return;
    loaded = true;
    await view.load();
  };
  button.addEventListener('click', () => busy(button, toggle));
  body.append(el('tr', {}, el('th', { scope: 'row' }, button), cells), below);
  return { name, body, button, isOpen: () => !below.hidden, open: toggle, kept: view.kept };
}

// tablesView shows the lines of tables: those that differ, and behind a button the others.
function tablesView(state, lines, differing) {
  const first = lines.slice(0, differing);
  const rest = lines.slice(differing);
  const head = el('thead', {}, el('tr', {}, ['Table', 'Since then', 'Rows then', 'Rows now'].map((words, i) => el('th', { scope: 'col', class: i > 1 ? 'number' : null }, words))));
  for (const { body } of rest) show(body, differing === 0);
  const button = el('button', { type: 'button', class: 'quiet inside-same', hidden: differing === 0 || rest.length === 0, 'data-testid': 'inside-same' }, `Show ${plural(rest.length, 'unchanged table')}`);
  const region = el('div', { class: 'scroll', role: 'region', tabindex: '0', 'aria-label': `Tables in ${state.name}, and now` }, el('table', {}, head, [...first, ...rest].map(({ body }) => body)));
  button.addEventListener('click', () => {
    for (const { body } of rest) show(body, true);
    region.focus({ preventScroll: true });
    button.remove();
  });
  return [region, button];
}

// changing are the operations that change the database's rows: after one of them what is shown is not true any more.
const changing = ['restore', 'restore-rows', 'recover'];

// touches says that an operation changed rows of a table.
const touches = ({ kind, state, result }, table) => state === 'done' && (kind !== 'restore-rows' || (result?.tables ?? []).some((t) => t.table === table));

// makeInside returns what shows the inside of a state, and loads it. A state has an id, the time at which it was, and a name.
export function makeInside(state) {
  const { id } = state;
  const node = el('section', { class: 'inside', 'aria-label': `Inside ${state.name}`, 'data-testid': 'inside', tabindex: '-1' }, el('p', { class: 'muted' }, 'Comparing with the database as it is now…'));
  let lines = [];
  let listed = []; // the tables above the button for the others, which keep their places
  let news = []; // operations that ended since what is shown was loaded
  const turn = makeTurns();

  // load shows what is inside now. What was open is loaded before it is shown again, so that nothing moves under a finger.
  const load = async () => {
    const isLast = turn();
    const answer = await attempt(() => Promise.all([api.tables(id), api.tables('live'), api.diff(id, 'live')]));
    if (!isLast()) return;
    if (!answer) {
      if (lines.length === 0) node.replaceChildren(el('p', { class: 'problem' }, icon('cross'), el('span', {}, 'It could not be looked into.')));
      return;
    }
    const [then, now, diff] = answer;
    const all = merge(then.tables, now.tables, diff);
    const changed = all.filter(differs).length;
    const place = ({ name }) => (listed.includes(name) ? listed.indexOf(name) : listed.length);
    const first = all.filter((t) => differs(t) || listed.includes(t.name)).sort((a, b) => place(a) - place(b));
    const fresh = [...first, ...all.filter((t) => !first.includes(t))].map((t) => line(state, t, lines.find(({ name }) => name === t.name), news.some((operation) => touches(operation, t.name))));
    const open = new Set();
    for (;;) { // others may be opened meanwhile
      const more = lines.filter(({ name, isOpen }) => isOpen() && !open.has(name)).map(({ name }) => name);
      if (more.length === 0) break;
      for (const name of more) open.add(name);
      await Promise.all(fresh.filter(({ name }) => more.includes(name)).map((one) => one.open()));
    }
    if (!isLast()) return;
    const focused = node.contains(document.activeElement);
    const words = changed ? `${plural(changed, 'table')} changed since.` : 'Nothing changed since: every row is as it is now.';
    if (lines.length === 0) say(words);
    listed = first.map(({ name }) => name);
    lines = fresh;
    news = [];
    node.replaceChildren(el('p', {}, words), ...tablesView(state, lines, first.length));
    if (focused) (lines.find((one) => one.isOpen())?.button ?? node).focus({ preventScroll: true });
  };
  const forget = whenEnded((operation) => {
    if (!node.isConnected) forget();
    if (!node.isConnected || !changing.includes(operation.kind)) return;
    news.push(operation);
    load();
  });
  return { node, load };
}
