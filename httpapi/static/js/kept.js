// The damaged databases that were kept: what was found, what goes with each, and its removal.

import { complaint } from './actions.js';
import * as api from './api.js';
import { openDialog } from './dialog.js';
import { arrange, attr, busy, byId, el, icon, show, text } from './dom.js';
import { brief, bytes, label, plural, relative, sentence, utc } from './format.js';
import { failed } from './live.js';
import { notice } from './notices.js';
import { may, refresh, store, subscribe } from './store.js';

const lines = new Map(); // name -> {node, update}

// only says what is in the file and nowhere else.
function only(q) {
  if (q.unrestored === undefined) return 'Whether it has rows that are nowhere else is not known.';
  if (q.unrestored === 0) return 'Every row that can be read in it was in what took its place.';
  return `${plural(q.unrestored, 'row')} can be read in it and were not in what took its place.`;
}

async function remove(q, opener) {
  const gone = await openDialog({
    id: 'dialog-kept',
    title: `Delete the damaged database of ${label(q.at)}?`,
    tone: 'bad',
    opener,
    content: (close) => {
      const error = complaint('kept-error');
      const button = el('button', { type: 'button', class: 'danger', 'data-testid': 'dialog-kept-confirm' }, 'Delete for good');
      button.addEventListener('click', () => busy(button, async () => {
        attr(error.node, 'hidden', true);
        try {
          await api.removeKept(q.name);
          close(true);
        } catch (problem) {
          error.report(problem);
        }
      }));
      return {
        body: [
          el('p', {}, el('code', {}, q.name), `, ${bytes(q.bytes)}. ${only(q)}`),
          el('p', {}, 'It is removed for good, with its log and its report: this cannot be undone.'),
          error.node,
        ],
        buttons: button,
      };
    },
  });
  if (!gone) return;
  notice(`The damaged database of ${label(q.at)} is deleted.`);
  await refresh().catch(failed);
}

function makeLine(q) {
  const time = el('time', { datetime: q.at });
  const what = el('p', { class: 'muted detail' });
  const button = el('button', { type: 'button', class: 'quiet', 'data-testid': 'kept-delete' }, 'Delete…', el('span', { class: 'hidden' }, ` ${q.name}`));
  let now = q;
  button.addEventListener('click', () => busy(button, () => remove(now, button)));
  const node = el('li', { class: 'event' }, icon('warn'),
    el('div', { class: 'grow' }, el('p', {}, el('code', {}, q.name), el('span', { class: 'muted' }, ` · ${bytes(q.bytes)}`)), what, button), time);
  const update = (next) => {
    now = next;
    text(time, brief(q.at));
    attr(time, 'title', `${relative(q.at)} · ${utc(q.at)}`);
    text(what, [next.found ? `Found: ${sentence(next.found)}` : '', only(next)].filter(Boolean).join(' '));
    show(button, may('delete'));
  };
  return { node, update };
}

function render() {
  const all = [...(store.status?.quarantined ?? [])].reverse();
  for (const q of all) {
    if (!lines.has(q.name)) lines.set(q.name, makeLine(q));
    lines.get(q.name).update(q);
  }
  for (const name of lines.keys()) if (!all.some((q) => q.name === name)) lines.delete(name);
  arrange(byId('kept-list'), all.map((q) => lines.get(q.name).node));
  text(byId('kept-count'), all.length ? bytes(all.reduce((sum, q) => sum + q.bytes, 0)) : '');
  show(byId('kept'), all.length > 0);
}

export function startKept() {
  subscribe(render);
}
