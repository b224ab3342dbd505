// Rows that differ between two states, as a table: a line for each, before and after by column.

import { arrange, el } from './dom.js';
import { bytes, excerpt } from './format.js';

// The style of what shows rows comes with it.
await new Promise((resolve) => {
  document.head.append(el('link', { rel: 'stylesheet', href: new URL('../css/inside.css', import.meta.url).href, load: resolve, error: resolve }));
});

const since = { __proto__: null, delete: ['Removed', 'bad'], insert: ['Added', 'ok'], update: ['Changed', 'warn'] };

// value is a column's value as text, binary data its size. The server sends the beginning of a long one, with its size.
function value(v) {
  const note = (said) => el('i', { class: 'muted' }, said);
  if (v === null) return note('NULL');
  if (typeof v === 'object' && 'base64' in v) return note(`${bytes(v.bytes ?? atob(v.base64).length)} of binary data`);
  if (typeof v === 'object') return [value(v.text), note(` (${bytes(v.bytes)})`)];
  return el('span', { title: String(v).length > 160 ? String(v).slice(0, 2000) : null }, excerpt(String(v)));
}

// cell shows one column of a change. A column that an update left alone is not known, and is empty.
function cell(change, column) {
  const has = (side) => side && Object.hasOwn(side, column);
  const parts = [];
  if (has(change.before)) parts.push(el('del', {}, value(change.before[column])));
  if (has(change.after)) parts.push(el('ins', {}, value(change.after[column])));
  if (parts.length === 0 && has(change.key)) parts.push(value(change.key[column]));
  return el('td', {}, parts);
}

// nameOf names a row by its key, or by what it holds.
export const nameOf = ({ key, before, after }) => Object.entries(key ?? before ?? after ?? {}).map(([column, v]) => `${column} ${typeof v === 'object' ? '…' : v}`).join(', ').slice(0, 80);

// changeTable makes a table of changed rows. words has a word and a tone for each kind of change;
// first, where it is given, makes what stands before a line, and firstHead what stands above that.
export function changeTable(name, { words = since, first = null, firstHead = null } = {}) {
  let columns = [];
  const lines = new Map(); // change -> its line
  const head = el('tr', {});
  const body = el('tbody', {});
  const node = el('div', { class: 'scroll', role: 'region', tabindex: '0', 'aria-label': name },
    el('table', { class: 'changed-rows' }, el('thead', {}, head), body));
  // The label makes the place to press larger than the box.
  const pick = (input) => el('td', { class: 'pick' }, input && el('label', {}, input));
  const lineOf = (change) => {
    const [word, tone] = words[change.op] ?? [change.op, ''];
    return el('tr', { 'data-op': change.op }, first && pick(first(change)),
      el('th', { scope: 'row' }, el('span', { class: 'tag', 'data-tone': tone }, word)), columns.map((column) => cell(change, column)));
  };

  // show shows these changes, and no others. Those that it showed before keep their lines, unless the columns are others.
  function show(changes) {
    const of = changes.map(({ key, before, after }) => Object.keys({ ...key, ...before, ...after }));
    // A whole row has the table's order. Of a changed one only the columns that changed are known.
    const all = [...new Set(of.toSorted((a, b) => b.length - a.length).flat())];
    if (JSON.stringify(all) !== JSON.stringify(columns) || !head.hasChildNodes()) {
      columns = all;
      lines.clear();
      head.replaceChildren(...[first && pick(firstHead), el('th', { scope: 'col' }, 'Row'), ...columns.map((column) => el('th', { scope: 'col' }, column))].filter(Boolean));
    }
    const shown = new Set(changes);
    for (const change of lines.keys()) if (!shown.has(change)) lines.delete(change);
    for (const change of changes) if (!lines.has(change)) lines.set(change, lineOf(change));
    arrange(body, changes.map((change) => lines.get(change)));
  }

  return { node, show };
}
