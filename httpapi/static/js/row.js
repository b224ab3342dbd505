// One backup in the table. A row is built once and patched afterwards, so that the
// focus, and the element under the pointer, survive every refresh.

import * as actions from './actions.js';
import { attr, busy, el, icon, show, text, useIcon } from './dom.js';
import { brief, bytes, count, date, label, moment, now, relative, sentence, utc } from './format.js';
import { restore } from './restore.js';
import { may, store } from './store.js';
import * as words from './words.js';

function cell(name, head, ...children) {
  return el('td', { role: 'cell', class: `cell-${name}`, 'data-label': head }, ...children);
}

function action(name, sign, words_, run, extra = '') {
  const button = el('button', { type: 'button', 'data-action': name, class: `action ${extra}` },
    icon(sign), el('span', { class: 'action-words' }, words_));
  button.addEventListener('click', () => busy(button, () => run(button)));
  return button;
}

function proofOf(v) {
  if (v.state === 'verified') return ['ok', 'check', 'Verified', `${words.level(v.level)}, ${relative(v.at)}`, `${moment(v.at)} · ${utc(v.at)}`];
  if (v.state === 'failed') return ['bad', 'cross', 'Failed', `${v.detail || 'the backup cannot be trusted'}`, v.at ? `${moment(v.at)} · ${utc(v.at)}` : ''];
  return ['warn', 'warn', 'Not verified', 'does not count yet', ''];
}

// keepOf says why a backup is kept, or when it goes.
function keepOf(b, decision) {
  if (!decision) return ['', ''];
  if (b.pinned) return ['Until you unpin it', ''];
  if (decision.keep && b.kind === 'manual') return ['Until you delete it', ''];
  const why = sentence(decision.reason);
  if (!decision.keep) return ['Goes at the next clean-up', why];
  if (decision.until) return [`Until about ${date(decision.until)}`, why];
  return ['Kept', why];
}

function ratio(b) {
  if (!b.archive_bytes || !b.database_bytes) return '';
  const times = b.database_bytes / b.archive_bytes;
  return times >= 1.05 ? `${times >= 10 ? Math.round(times) : times.toFixed(1)}× smaller` : 'not smaller';
}

export function makeRow(initial) {
  let b = initial;
  const id = b.id;

  const time = el('time', { class: 'strong', datetime: b.created_at });
  const ago = el('span', { class: 'muted' });
  const pinMark = el('span', { class: 'badge pinned' }, icon('pin'), 'Pinned');
  const kind = el('span', { class: 'badge kind' });
  const trigger = el('span', { class: 'muted' });
  const stored = el('span', { class: 'strong' });
  const whole = el('span', { class: 'muted' });
  const smaller = el('span', { class: 'muted' });
  const proofSign = icon('check');
  const proofState = el('span', { class: 'strong' });
  const proofDetail = el('span', { class: 'clamp' });
  const proof = el('div', { class: 'proof' }, proofSign, el('div', { class: 'stack' }, proofState, proofDetail));
  const keepWord = el('span', { class: 'strong' });
  const keepWhy = el('span', { class: 'muted clamp' });
  const noteWords = el('span', { class: 'clamp note' });
  const noteButton = el('button', { type: 'button', class: 'note-edit', 'data-action': 'note' }, icon('pencil'), el('span', {}, 'Add a note'));
  noteButton.addEventListener('click', () => actions.note(b, noteButton));

  const buttons = {
    restore: action('restore', 'undo', 'Restore', (o) => restore(b, o), 'main'),
    verify: action('verify', 'check', 'Verify', () => actions.verify(b), 'worded'),
    drill: action('drill', 'gauge', 'Test restore', () => actions.drill(b)),
    pin: action('pin', 'pin', 'Pin', () => (b.pinned ? actions.unpin(b) : actions.pin(b))),
    download: action('download', 'download', 'Download', () => actions.download(b)),
    delete: action('delete', 'trash', 'Delete', (o) => actions.remove(b, o)),
  };

  const node = el('tr', { role: 'row', 'data-testid': `row-${id}`, 'data-id': id },
    cell('time', 'Taken', el('div', { class: 'stack' }, time, el('span', { class: 'muted utc' }, utc(b.created_at)), ago)),
    cell('kind', 'Kind', el('div', { class: 'stack' }, el('span', { class: 'badges' }, kind, pinMark), trigger)),
    cell('size', 'Size', el('div', { class: 'stack' }, stored, whole, smaller)),
    cell('proof', 'Proof', proof),
    cell('keep', 'Kept', el('div', { class: 'stack' }, keepWord, keepWhy)),
    cell('note', 'Note', noteWords, noteButton),
    cell('actions', 'Actions', el('div', { class: 'actions' },
      el('div', {}, buttons.restore, buttons.verify),
      el('div', {}, buttons.drill, buttons.pin, buttons.download, buttons.delete))));

  function nameButton(button, verb) {
    const name = `${verb} backup of ${label(b.created_at)}`;
    attr(button, 'aria-label', name);
  }

  function nameButtons() {
    nameButton(buttons.restore, 'Restore');
    nameButton(buttons.verify, 'Verify');
    nameButton(buttons.drill, 'Test restore of');
    attr(buttons.drill, 'aria-label', `Test restore of backup of ${label(b.created_at)}`);
    attr(buttons.drill, 'title', 'Test restore: unpacks to a scratch file, checks it fully and takes the time');
    nameButton(buttons.pin, b.pinned ? 'Unpin' : 'Pin');
    attr(buttons.pin, 'title', b.pinned ? 'Unpin: the rules decide again how long it is kept' : 'Pin: keep it until you unpin it');
    nameButton(buttons.download, 'Download');
    nameButton(buttons.delete, 'Delete');
  }

  function allow() {
    show(buttons.restore, may('restore'));
    show(buttons.verify, may('verify'));
    show(buttons.drill, may('verify'));
    show(buttons.pin, may('configure'));
    show(buttons.delete, may('delete'));
    show(buttons.download, may('download') && store.session?.downloads === true);
    show(noteButton, may('configure'));
  }

  // What a row shows follows from these; most refreshes change nothing in most rows.
  function keyOf() {
    const decision = store.decisions.get(id);
    return [b.etag, decision?.keep, decision?.until, decision?.reason, Math.floor(now() / 30_000), store.session?.rights, store.session?.downloads].join('|');
  }

  let drawn = '';

  function update(next) {
    b = next;
    const key = keyOf();
    if (b.etag && key === drawn) return;
    drawn = key;
    text(time, brief(b.created_at));
    attr(time, 'title', moment(b.created_at));
    text(ago, relative(b.created_at));
    const kindWord = words.kind(b);
    text(kind, kindWord);
    attr(kind, 'data-kind', kindWord.toLowerCase());
    text(trigger, words.trigger(b.trigger));
    show(pinMark, b.pinned);
    text(stored, bytes(b.archive_bytes));
    text(whole, `of ${bytes(b.database_bytes)}`);
    text(smaller, ratio(b));
    attr(stored.parentElement, 'title', `${count(b.archive_bytes)} bytes stored, database of ${count(b.database_bytes)} bytes`);
    const [tone, sign, state, detail, when] = proofOf(b.verification);
    attr(proof, 'data-tone', tone);
    useIcon(proofSign, sign);
    text(proofState, state);
    text(proofDetail, detail);
    attr(proof, 'title', [when, tone === 'bad' ? detail : ''].filter(Boolean).join(' · '));
    const [word, why] = keepOf(b, store.decisions.get(id));
    text(keepWord, word);
    text(keepWhy, why);
    attr(keepWhy, 'title', why);
    text(noteWords, b.note);
    attr(noteWords, 'title', b.note);
    show(noteWords, Boolean(b.note));
    text(noteButton.lastElementChild, b.note ? 'Edit' : 'Add a note');
    attr(noteButton, 'aria-label', `${b.note ? 'Edit note of' : 'Add a note to'} backup of ${label(b.created_at)}`);
    attr(buttons.pin, 'data-action', b.pinned ? 'unpin' : 'pin');
    useIcon(buttons.pin, b.pinned ? 'unpin' : 'pin');
    text(buttons.pin.lastElementChild, b.pinned ? 'Unpin' : 'Pin');
    nameButtons();
    allow();
  }

  update(b);
  return { node, update };
}
