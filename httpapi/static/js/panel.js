// What a backup's line has no room for: all that is known of it, and what can be done with it.
// There is one panel. It is in the line that is open.

import * as actions from './actions.js';
import { arrange, attr, busy, el, icon, show, text, useIcon } from './dom.js';
import { bytes, count, date, exact, moment, relative, sentence, took, utcExact } from './format.js';
import { proofOf } from './line.js';
import { later } from './notices.js';
import { restore } from './restore.js';
import { may, store } from './store.js';
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

// choices returns the actions on b: {name, sign, words, hint, tone, run}. run takes the button
// that gets the focus back.
export function choices(b) {
  const all = [
    ['restore', { name: 'restore', sign: 'undo', words: 'Restore…', tone: 'primary', run: (opener) => restore(b, opener) }],
    ['verify', { name: 'verify', sign: 'check', words: 'Verify', hint: 'Reads the stored backup again and proves it', run: () => actions.verify(b) }],
    ['verify', { name: 'drill', sign: 'gauge', words: 'Test restore', hint: 'Unpacks to a scratch file, checks it fully and takes the time', run: () => actions.drill(b) }],
    ['configure', b.pinned
      ? { name: 'unpin', sign: 'unpin', words: 'Unpin', hint: 'The rules decide again how long it is kept', run: () => actions.unpin(b) }
      : { name: 'pin', sign: 'pin', words: 'Pin', hint: 'Keeps it until you unpin it', run: () => actions.pin(b) }],
    ['configure', { name: 'note', sign: 'pencil', words: b.note ? 'Edit note' : 'Add a note', run: (opener) => actions.note(b, opener) }],
    ['download', { name: 'download', sign: 'download', words: 'Download', run: () => actions.download(b) }],
    ['delete', { name: 'delete', sign: 'trash', words: 'Delete…', tone: 'bad', run: (opener) => actions.remove(b, opener) }],
  ];
  return all.filter(([right, { name }]) => may(right) && (name !== 'download' || store.session?.downloads === true)).map(([, choice]) => choice);
}

// loadInside shows the tables of a state by its id, time and name, which no other one on the page has. The part of the page for it is loaded then.
export async function loadInside(place, state) {
  const part = await later(import('./inside.js'));
  if (!part) return;
  const inside = part.makeInside(state);
  place.replaceChildren(inside.node);
  await inside.load();
}

export function makePanel() {
  let b = null;
  const title = el('h4', { id: 'panel-title', class: 'hidden' });
  const cells = facts.map(makeFact);
  const bar = el('div', { class: 'panel-actions' });
  const look = el('button', { type: 'button', 'data-action': 'inside', 'aria-expanded': 'false', 'aria-controls': 'panel-inside' }, icon('eye'), 'Look inside');
  const inside = el('div', { id: 'panel-inside', hidden: true });
  const node = el('div', { id: 'panel', class: 'panel', role: 'group', 'aria-labelledby': 'panel-title', 'data-testid': 'panel' },
    title, bar, inside, el('dl', {}, cells.map((cell) => cell.node)));
  const known = new Map(); // name -> {node, choice}

  function buttonOf(choice) {
    const name = choice.name === 'unpin' ? 'pin' : choice.name; // one button, so that it keeps the focus
    let one = known.get(name);
    if (!one) {
      const button = el('button', { type: 'button', class: choice.tone === 'primary' ? 'primary' : '' }, icon(choice.sign), el('span', {}));
      one = { node: button, choice };
      button.addEventListener('click', () => busy(button, () => one.choice.run(button)));
      known.set(name, one);
    }
    one.choice = choice;
    attr(one.node, 'data-action', choice.name);
    attr(one.node, 'data-tone', choice.tone);
    attr(one.node, 'title', choice.hint);
    useIcon(one.node, choice.sign);
    text(one.node.lastElementChild, choice.words);
    return one.node;
  }

  function unfold(open) {
    attr(look, 'aria-expanded', String(open));
    show(inside, open);
    inside.replaceChildren();
  }

  look.addEventListener('click', () => {
    unfold(inside.hidden);
    if (inside.hidden) return;
    const place = el('div', {}); // of this backup only: another may be chosen meanwhile
    inside.append(place);
    loadInside(place, { id: b.id, at: b.created_at, name: `the backup of ${exact(b.created_at)}` });
  });

  // update shows a backup as it is now.
  function update(next) {
    if (b?.id !== next.id) unfold(false);
    b = next;
    text(title, `Backup of ${exact(b.created_at)}`);
    const buttons = choices(b).map(buttonOf);
    buttons.splice(buttons[0]?.dataset.action === 'restore' ? 1 : 0, 0, look);
    arrange(bar, buttons);
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
