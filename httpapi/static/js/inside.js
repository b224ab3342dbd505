// A look inside a backup or a recovery point: its tables, with what changed in each until now,
// and the rows of one that were removed, added or changed.

import * as api from './api.js';
import { makeChanges } from './changes.js';
import { busy, el, icon, show } from './dom.js';
import { count, plural } from './format.js';
import { chevron } from './line.js';
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

function line(state, t) {
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
  const view = makeChanges(state, t);
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

function tablesView(state, all) {
  const changed = all.filter(differs);
  const same = all.filter((t) => !differs(t));
  const head = el('thead', {}, el('tr', {}, ['Table', 'Since then', 'Rows then', 'Rows now'].map((words, i) => el('th', { scope: 'col', class: i > 1 ? 'number' : null }, words))));
  const rest = same.map((t) => line(state, t));
  for (const one of rest) show(one, changed.length === 0);
  const button = el('button', { type: 'button', class: 'quiet inside-same', hidden: changed.length === 0 || same.length === 0, 'data-testid': 'inside-same' }, `Show ${plural(same.length, 'unchanged table')}`);
  button.addEventListener('click', () => {
    for (const one of rest) show(one, true);
    button.remove();
  });
  return [
    el('p', {}, changed.length ? `${plural(changed.length, 'table')} changed since.` : 'Nothing changed since: every row is as it is now.'),
    el('div', { class: 'scroll', role: 'region', tabindex: '0', 'aria-label': 'Tables, then and now' }, el('table', {}, head, changed.map((t) => line(state, t)), rest)),
    button,
  ];
}

// change the database's rows: what is shown is not true any more when one of these has ended.
const changing = ['restore', 'restore-rows', 'recover'];

// makeInside returns what shows the inside of a state, and loads it. A state has an id, and the time at which it was.
export function makeInside(state) {
  const { id } = state;
  const node = el('section', { class: 'inside', 'aria-label': 'Inside', 'data-testid': 'inside', tabindex: '-1' }, el('p', { class: 'muted' }, 'Comparing with the database as it is now…'));
  const load = async () => {
    const answer = await attempt(() => Promise.all([api.tables(id), api.tables('live'), api.diff(id, 'live')]));
    if (!answer) {
      node.replaceChildren(el('p', { class: 'problem' }, icon('cross'), el('span', {}, 'It could not be looked into.')));
      return;
    }
    const [then, now, diff] = answer;
    const focused = node.contains(document.activeElement);
    const opened = [...node.querySelectorAll('.unfold[aria-expanded="true"]')].map((button) => button.dataset.testid);
    node.replaceChildren(...tablesView(state, merge(then.tables, now.tables, diff)));
    for (const button of node.querySelectorAll('.unfold')) if (opened.includes(button.dataset.testid)) button.click();
    if (focused) (node.querySelector('.unfold[aria-expanded="true"]') ?? node).focus({ preventScroll: true });
  };
  const forget = whenEnded(({ kind }) => {
    if (!node.isConnected) forget();
    else if (changing.includes(kind)) load();
  });
  return { node, load };
}
