// Rows that differ between two states, as a table: a line for each, before and after by column.

import { el } from './dom.js';
import { bytes, excerpt } from './format.js';

const words = { __proto__: null, delete: ['Removed', 'bad'], insert: ['Added', 'ok'], update: ['Changed', 'warn'] };

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

// changeTable makes a table of changed rows, to which more can be added.
export function changeTable(name) {
  const columns = [];
  const changes = [];
  const head = el('tr', {});
  const body = el('tbody', {});
  const node = el('div', { class: 'scroll', role: 'region', tabindex: '0', 'aria-label': `Rows of ${name} that changed` },
    el('table', { class: 'changed-rows' }, el('thead', {}, head), body));
  const row = (change) => {
    const [word, tone] = words[change.op] ?? [change.op, ''];
    return el('tr', { 'data-op': change.op }, el('th', { scope: 'row' }, el('span', { class: 'tag', 'data-tone': tone }, word)), columns.map((column) => cell(change, column)));
  };

  // add appends changes. A column that only they have makes the table again, with it.
  function add(more) {
    const known = columns.length;
    for (const { key, before, after } of more) {
      for (const column of Object.keys({ ...key, ...before, ...after })) if (!columns.includes(column)) columns.push(column);
    }
    changes.push(...more);
    if (columns.length === known) {
      body.append(...more.map(row));
      return;
    }
    head.replaceChildren(el('th', { scope: 'col' }, 'Row'), ...columns.map((column) => el('th', { scope: 'col' }, column)));
    body.replaceChildren(...changes.map(row));
  }

  return { node, add };
}
