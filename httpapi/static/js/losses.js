// What going back to a state would lose, and bring back, table by table.

import * as api from './api.js';
import { el } from './dom.js';
import { count, plural } from './format.js';

const most = 5; // tables that are named

const size = (t) => t.added + t.changed + t.removed;

function tableWords(t) {
  if (t.not_compared) return 'not compared';
  const lost = [t.added && plural(t.added, 'new row'), t.changed && plural(t.changed, 'change')].filter(Boolean).join(', ');
  const back = t.removed && `${plural(t.removed, 'removed row')} ${t.removed === 1 ? 'comes' : 'come'} back`;
  return [lost && `${lost} lost`, back].filter(Boolean).join('; ');
}

function schemaWords(s) {
  return { added: 'is lost', removed: 'comes back', changed: 'has its old form again' }[s.change] ?? s.change;
}

// showLosses fills a list with what has changed from a state until now, which going back would undo.
export async function showLosses(list, id) {
  const { tables, schema } = await api.diff(id, 'live');
  const lines = tables.toSorted((a, b) => size(b) - size(a)).map((t) => [t.name, tableWords(t)]);
  lines.unshift(...schema.filter((s) => s.type === 'table').map((s) => [s.object, `the table ${schemaWords(s)}`]));
  const rest = lines.length - most;
  list.replaceChildren(...lines.slice(0, rest > 1 ? most : most + 1).map(([name, words]) => el('li', {}, el('strong', {}, name), `: ${words}`)),
    ...(rest > 1 ? [el('li', {}, `and ${count(rest)} more tables`)] : []));
  if (lines.length === 0) list.append(el('li', {}, schema.length ? 'No row: only indexes, views or triggers changed.' : 'No row differs.'));
}
