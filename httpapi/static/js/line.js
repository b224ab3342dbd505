// One backup as a line of the list. A line is built once and patched afterwards, so that the
// focus, and the element under the pointer, survive every refresh.

import { attr, el, icon, show, svg, text, useIcon } from './dom.js';
import { bytes, dayKey, excerpt, hhmm, hhmmss, label, labelExact } from './format.js';
import * as words from './words.js';

const proofs = {
  __proto__: null,
  verified: ['ok', 'check', 'Verified'],
  failed: ['bad', 'cross', 'Failed'],
};

// proofOf is the known soundness of a backup: tone, sign, words.
export const proofOf = (b) => proofs[b.verification.state] ?? ['warn', 'warn', 'Not verified'];

export const chevron = () => svg('svg', { class: 'icon chevron', viewBox: '0 0 24 24', 'aria-hidden': 'true', focusable: 'false' }, svg('path', { d: 'm9 6 6 6-6 6' }));

// A line's parts are separated by spaces: they are its button's name.
const spaced = (nodes) => nodes.flatMap((node) => [node, ' ']);

export function makeLine(initial) {
  const { id, created_at: at } = initial;
  const time = el('time', { class: 'time', datetime: at });
  const kind = el('span', { class: 'kind-word' });
  const trigger = el('span', { class: 'trigger' });
  const size = el('span', { class: 'size' });
  const sign = icon('check');
  const state = el('span', { class: 'hidden' });
  const proof = el('span', { class: 'proof' }, sign, state);
  const about = el('span', { class: 'about' });
  const button = el('button', { type: 'button', class: 'line', 'aria-expanded': 'false' },
    spaced([chevron(), time, el('span', { class: 'kind' }, kind, ' ', trigger), size, proof, about]));
  const dots = el('button', { type: 'button', class: 'dots', 'aria-haspopup': 'menu', 'aria-expanded': 'false' }, el('span', { 'aria-hidden': 'true' }, '⋯'));
  const node = el('li', { class: 'backup', 'data-testid': `row-${id}`, 'data-id': id }, button, dots);
  let drawn = '';

  // update shows b, to the second where another line has the same minute; actions: it has a menu.
  function update(b, { exactly, newest, actions }) {
    const key = [b.etag, exactly, newest, actions].join('|');
    if (key === drawn) return;
    drawn = key;
    text(time, exactly ? hhmmss(at) : hhmm(at));
    const word = words.kind(b);
    text(kind, word);
    attr(kind, 'data-kind', word.toLowerCase());
    text(trigger, word === 'Automatic' ? words.trigger(b.trigger) : '');
    text(size, bytes(b.archive_bytes));
    const [tone, symbol, said] = proofOf(b);
    const good = tone === 'ok';
    attr(proof, 'data-tone', tone);
    useIcon(sign, symbol);
    text(state, good ? said : '');
    // Most lines have none of these, and thousands of lines are to scroll.
    about.replaceChildren(...spaced([
      !good && el('span', { class: 'tag', 'data-tone': tone }, said),
      newest && el('span', { class: 'tag', 'data-tone': 'ok' }, 'Newest verified'),
      b.pinned && el('span', { class: 'pinned' }, icon('pin'), el('span', { class: 'hidden' }, 'Pinned')),
      b.note && el('span', { class: 'note' }, excerpt(b.note)),
    ].filter(Boolean)));
    show(dots, actions);
    attr(dots, 'aria-label', `Actions for the backup of ${(exactly ? labelExact : label)(at)}`);
  }

  return { node, button, dots, day: dayKey(at), minute: `${dayKey(at)} ${hhmm(at)}`, update };
}

// makeRun is the line of the recovery points between two backups.
export function makeRun() {
  const said = el('span', { class: 'moments' });
  const button = el('button', { type: 'button', class: 'line' }, icon('clock'), said, el('span', { class: 'go' }, 'Choose one'));
  const node = el('li', { class: 'run', 'data-testid': 'moments' }, button);
  const update = (run) => {
    const many = run.points > 1;
    const day = many && dayKey(run.from) !== dayKey(run.to);
    const span = many ? `from ${day ? label(run.from) : hhmm(run.from)} to ${hhmm(run.to)}` : `at ${hhmmss(run.to)}`;
    text(said, `${many ? `${run.points.toLocaleString('en-GB')} moments` : '1 moment'} ${span}`);
  };
  return { node, button, update };
}
