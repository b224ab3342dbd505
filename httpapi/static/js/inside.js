// A look inside a backup or a recovery point: its tables, with what changed in each until now,
// and the rows of one that were removed, added or changed.

import * as api from './api.js';
import { busy, el, icon, show } from './dom.js';
import { count, plural } from './format.js';
import { chevron } from './line.js';
import { attempt } from './problems.js';
import { changeTable } from './rows.js';
import { may } from './store.js';

const page = 100; // rows of a table at a time

// sinceWords says what became of a table's rows.
function sinceWords({ removed, added, changed, not_compared: why }) {
  if (why) return `not compared: ${why}`;
  const parts = [[removed, 'removed'], [added, 'added'], [changed, 'changed']].filter(([n]) => n > 0);
  return parts.map(([n, what]) => `${count(n)} ${what}`).join(', ');
}

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
  return [schemaWords[t.schema] ?? '', t.diff ? sinceWords(t.diff) : ''].filter(Boolean).join('; ') || 'the same';
}

// rowsView shows the changed rows of a table, page by page.
function rowsView(id, name) {
  const place = el('div', {});
  const more = el('button', { type: 'button', hidden: true, 'data-testid': 'inside-more' }, `Show ${page} more`);
  let table = null;
  let offset = 0;
  const load = async () => {
    const answer = await attempt(() => api.diff(id, 'live', { table: name, limit: page, offset }));
    if (!answer) return;
    const { rows = [], added, removed, changed } = answer.tables[0] ?? {};
    if (!table) {
      table = changeTable(name);
      place.append(table.node);
    }
    table.add(rows);
    offset += rows.length;
    show(more, rows.length > 0 && offset < added + removed + changed);
  };
  more.addEventListener('click', () => busy(more, load));
  return { node: el('div', { class: 'changes' }, place, el('p', { class: 'changes-more' }, more)), load };
}

function line(id, t) {
  const cells = [
    el('td', { class: differs(t) ? 'strong' : 'muted' }, since(t)),
    el('td', { class: 'number' }, rowsOf(t.then)),
    el('td', { class: 'number' }, rowsOf(t.now)),
  ];
  const body = el('tbody', {});
  if (!t.diff || !may('read')) {
    body.append(el('tr', {}, el('th', { scope: 'row' }, t.name), cells));
    return body;
  }
  const button = el('button', { type: 'button', class: 'quiet unfold', 'aria-expanded': 'false', 'data-testid': `inside-${t.name}` }, chevron(), t.name);
  const view = rowsView(id, t.name);
  const below = el('tr', { hidden: true }, el('td', { colspan: '4' }, view.node));
  let loaded = false;
  button.addEventListener('click', () => busy(button, async () => {
    const open = below.hidden;
    show(below, open);
    button.setAttribute('aria-expanded', String(open));
    if (open && !loaded) {
      loaded = true;
      await view.load();
    }
  }));
  body.append(el('tr', {}, el('th', { scope: 'row' }, button), cells), below);
  return body;
}

function tablesView(id, all) {
  const changed = all.filter(differs);
  const same = all.filter((t) => !differs(t));
  const head = el('thead', {}, el('tr', {}, ['Table', 'Since then', 'Rows then', 'Rows now'].map((words, i) => el('th', { scope: 'col', class: i > 1 ? 'number' : null }, words))));
  const rest = same.map((t) => line(id, t));
  for (const one of rest) show(one, changed.length === 0);
  const button = el('button', { type: 'button', class: 'quiet inside-same', hidden: changed.length === 0 || same.length === 0, 'data-testid': 'inside-same' }, `Show ${plural(same.length, 'unchanged table')}`);
  button.addEventListener('click', () => {
    for (const one of rest) show(one, true);
    button.remove();
  });
  return [
    el('p', {}, changed.length ? `${plural(changed.length, 'table')} changed since.` : 'Nothing changed since: every row is as it is now.'),
    el('div', { class: 'scroll', role: 'region', tabindex: '0', 'aria-label': 'Tables, then and now' }, el('table', {}, head, changed.map((t) => line(id, t)), rest)),
    button,
  ];
}

// makeInside returns what shows the inside of a state by its id, and loads it.
export function makeInside(id) {
  const node = el('section', { class: 'inside', 'aria-label': 'Inside', 'data-testid': 'inside' }, el('p', { class: 'muted' }, 'Comparing with the database as it is now…'));
  const load = async () => {
    const answer = await attempt(() => Promise.all([api.tables(id), api.tables('live'), api.diff(id, 'live')]));
    if (!answer) {
      node.replaceChildren(el('p', { class: 'problem' }, icon('cross'), el('span', {}, 'It could not be looked into.')));
      return;
    }
    const [then, now, diff] = answer;
    node.replaceChildren(...tablesView(id, merge(then.tables, now.tables, diff)));
  };
  return { node, load };
}
