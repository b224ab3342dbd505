// When the rows of a table changed: the recovery points since a state that changed it, newest first.

import * as api from './api.js';
import { busy, el, show } from './dom.js';
import { count, exact, plural, utcExact } from './format.js';
import { say } from './notices.js';
import { showBefore } from './page.js';
import { attempt } from './problems.js';

const page = 20; // points at a time

// changedWords says what became of a table's rows.
export function changedWords({ removed, added, changed, not_compared: why }) {
  if (why) return `not compared: ${why}`;
  const parts = [[removed, 'removed'], [added, 'added'], [changed, 'changed']].filter(([n]) => n > 0);
  return parts.map(([n, what]) => `${count(n)} ${what}`).join(', ');
}

const schemaWords = { __proto__: null, added: 'the table was made', removed: 'the table was dropped', changed: 'its columns were changed' };

function line({ at, tables, schema }) {
  const words = [...schema.map(({ change }) => schemaWords[change]), ...tables.map(changedWords)].filter(Boolean).join('; ');
  const look = el('button', { type: 'button', class: 'quiet', 'data-testid': 'inside-just-before' }, 'Look inside', el('span', { class: 'hidden' }, ` of the state before ${exact(at)}`));
  look.addEventListener('click', () => busy(look, () => showBefore(at)));
  return el('tr', {}, el('th', { scope: 'row' }, el('time', { datetime: at, title: utcExact(at) }, exact(at))), el('td', {}, words), el('td', {}, look));
}

// makeWhen makes the button that asks when a table changed since a time, and the list that answers.
export function makeWhen(table, since, of) {
  const button = el('button', { type: 'button', class: 'quiet', 'data-testid': 'inside-when' }, 'When was that?');
  const list = el('tbody', {});
  const region = el('div', { class: 'scroll', role: 'region', tabindex: '0', 'aria-label': `When ${table} changed since ${of}` },
    el('table', {}, el('thead', {}, el('tr', {}, el('th', { scope: 'col' }, 'When'), el('th', { scope: 'col' }, 'What'), el('th', { scope: 'col' }, 'Just before'))), list));
  const more = el('button', { type: 'button', class: 'quiet', 'data-testid': 'inside-earlier' }, 'Earlier');
  const note = el('p', { class: 'muted small' });
  const answer = el('div', { class: 'when', 'data-testid': 'inside-times', hidden: true }, region, note, more);
  let cursor = null;

  // load goes on where it was, until there is something to show or nothing is left. It returns whether that was found out.
  async function load() {
    const from = new Date(Date.parse(since) + 1).toISOString(); // the state itself is no change since
    let found = [];
    do {
      const got = await attempt(() => api.log({ table, from, limit: page, cursor }));
      if (!got) return false;
      found = got.points;
      cursor = got.next_cursor;
    } while (found.length === 0 && cursor);
    list.append(...found.map(line));
    show(region, list.hasChildNodes());
    if (!cursor && document.activeElement === more) region.focus({ preventScroll: true });
    show(more, Boolean(cursor));
    note.textContent = list.hasChildNodes() ? 'Each time is that of the recovery point that first had the change.' : 'No recovery point has it yet: it was changed after the newest one.';
    say(`${plural(list.children.length, 'recovery point')} changed ${table}.`);
    return true;
  }

  button.addEventListener('click', () => busy(button, async () => {
    if (!(await load())) return; // the button asks again
    show(answer, true);
    (region.hidden ? more : region).focus({ preventScroll: true });
    button.remove();
  }));
  more.addEventListener('click', () => busy(more, load));
  return { button, answer };
}
