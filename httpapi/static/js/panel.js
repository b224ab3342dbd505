// What a backup's line has no room for: all that is known of it, and what can be done with it.
// There is one panel. It is in the line that is open.

import { choices } from './choices.js';
import { arrange, attr, busy, el, icon, show, text, useIcon } from './dom.js';
import { bytes, count, date, exact, moment, relative, sentence, took, utcExact } from './format.js';
import { proofOf } from './line.js';
import { store } from './store.js';
import * as words from './words.js';

function proofWords(b) {
  const { state, level, at, detail } = b.verification;
  const when = at ? `${relative(at)} (${moment(at)})` : '';
  if (state === 'verified') return [`Verified by a ${words.level(level)}`, when];
  if (state === 'failed') return ['Failed', [sentence(detail || 'the backup cannot be trusted'), when].filter(Boolean).join(' ')];
  return ['Not verified', 'It does not count until it is'];
}

// keepWords says why a backup is kept, or when it goes.
function keepWords(b) {
  const decision = store.decisions.get(b.id);
  if (!decision) return ['Not known yet', ''];
  const why = sentence(decision.reason);
  if (b.pinned) return ['Until you unpin it', ''];
  if (decision.keep && b.kind === 'manual') return ['Until you delete it', ''];
  if (!decision.keep) return ['Goes at the next clean-up', why];
  return [decision.until ? `Until about ${date(decision.until)}` : 'Kept', why];
}

function ratio(b) {
  const times = b.database_bytes / b.archive_bytes;
  if (!Number.isFinite(times) || times < 1.05) return '';
  return `, ${times >= 10 ? Math.round(times) : times.toFixed(1)}× smaller`;
}

// copies says where else the backup is, where there is anywhere else.
function copies(b) {
  const all = (b.copies ?? []).map((copy) => `${copy.remote}: ${copy.state}`).join(', ');
  return all || (store.status?.remotes?.length ? 'None yet' : '');
}

// Each fact: its name, and what it says of a backup in one or two parts.
const facts = [
  ['taken', 'Taken', (b) => [exact(b.created_at), `${relative(b.created_at)} · ${utcExact(b.created_at)}`]],
  ['kind', 'Kind', (b) => [`${words.kind(b)}, ${words.trigger(b.trigger)}`, b.duration_ms ? `made in ${took(b.duration_ms)}` : '']],
  ['size', 'Size', (b) => [`${bytes(b.archive_bytes)} of ${bytes(b.database_bytes)}${ratio(b)}`, `${count(b.archive_bytes)} of ${count(b.database_bytes)} bytes`]],
  ['proof', 'Proof', proofWords],
  ['keep', 'Kept', keepWords],
  ['copies', 'Off this machine', (b) => [copies(b), '']],
  ['note', 'Note', (b) => [b.note, '']],
  ['id', 'ID', (b) => [b.id, b.point ? `recovery point ${b.point}` : '']],
  ['digest', 'BLAKE3', (b) => [b.image_blake3, '']],
];

function makeFact([name, head]) {
  const first = el('dd', { class: 'first' });
  const second = el('dd', { class: 'second' });
  return { node: el('div', { class: `fact-${name}` }, el('dt', {}, head), first, second), first, second };
}

export function makePanel() {
  let b = null;
  const title = el('h4', { id: 'panel-title', class: 'hidden' });
  const cells = facts.map(makeFact);
  const bar = el('div', { class: 'panel-actions' });
  const node = el('div', { id: 'panel', class: 'panel', role: 'group', 'aria-labelledby': 'panel-title', 'data-testid': 'panel' },
    title, bar, el('dl', {}, cells.map((cell) => cell.node)));
  const buttons = new Map(); // name -> {node, choice}

  function buttonOf(choice) {
    const name = choice.name === 'unpin' ? 'pin' : choice.name; // one button, so that it keeps the focus
    let known = buttons.get(name);
    if (!known) {
      const button = el('button', { type: 'button', class: choice.tone === 'primary' ? 'primary' : '' }, icon(choice.sign), el('span', {}));
      known = { node: button, choice };
      button.addEventListener('click', () => busy(button, () => known.choice.run(button)));
      buttons.set(name, known);
    }
    known.choice = choice;
    attr(known.node, 'data-action', choice.name);
    attr(known.node, 'data-tone', choice.tone);
    attr(known.node, 'title', choice.hint);
    useIcon(known.node, choice.sign);
    text(known.node.lastElementChild, choice.words);
    return known.node;
  }

  // update shows a backup as it is now.
  function update(next) {
    b = next;
    text(title, `Backup of ${exact(b.created_at)}`);
    arrange(bar, choices(b).map(buttonOf));
    show(bar, bar.childElementCount > 0);
    cells.forEach((cell, i) => {
      const [first, second] = facts[i][2](b);
      text(cell.first, first);
      text(cell.second, second);
      show(cell.second, Boolean(second));
      show(cell.node, Boolean(first));
      if (facts[i][0] === 'proof') attr(cell.node, 'data-tone', proofOf(b)[0]);
    });
  }

  return { node, update };
}
