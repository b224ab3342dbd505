// Restoring in two steps: what will be lost, then the typed name. The server holds
// the plan, and refuses one that is used, expired or no longer true.

import * as api from './api.js';
import { attr, busy, el, icon, show, text } from './dom.js';
import { openDialog } from './dialog.js';
import { exact, excerpt, moment, now, plural, relative, sentence, span, took, utc, utcExact } from './format.js';
import { follow } from './operations.js';
import { later, say } from './notices.js';
import { attempt, words } from './problems.js';
import * as names from './words.js';
import { store } from './store.js';

// when is the moment of a state: of a backup to the minute, of a recovery point to the second.
const when = (backup) => (names.isPoint(backup.id) ? exact : moment)(backup.created_at);

export const again = Symbol('start again');

function loses(plan) {
  if (!plan.loses_since) return ['ok', 'check', 'Nothing is lost', 'The database has not changed since this backup was taken.'];
  return ['bad', 'warn', 'What will be lost',
    `All changes since ${moment(plan.loses_since)} – ${span(plan.loses_seconds)} – will be replaced.`];
}

function cost(plan, backup) {
  if (!plan.loses_since) return '';
  const since = moment(plan.loses_since);
  return ` All changes since ${since === moment(backup.created_at) ? 'then' : since} – ${span(plan.loses_seconds)} – will be replaced.`;
}

function proof(backup) {
  if (names.isPoint(backup.id)) return ['ok', 'check', 'Proof', 'Every page is proven by its digest before it is put back, and all of them together by their sum.'];
  const v = backup.verification;
  if (v.state === 'verified') return ['ok', 'check', 'Proof', `Read back completely and checked (${names.level(v.level)}) ${relative(v.at)}: it is complete and sound.`];
  if (v.state === 'failed') return ['bad', 'cross', 'Proof', `The last verification failed${v.detail ? `: ${v.detail}` : ''}. It is proven again before anything is replaced.`];
  return ['warn', 'warn', 'Proof', 'Not verified yet. It is proven before anything is replaced.'];
}

function saves(plan) {
  if (plan.saves_first) return ['ok', 'undo', 'Can be undone', 'The present state is saved first as a safety backup. You can undo this afterwards.'];
  return ['warn', 'warn', 'Cannot be saved first', 'The present database cannot be backed up. A damaged file is kept as it is, in the backup directory.'];
}

function duration(plan) {
  const long = plan.estimated_ms > 0 ? `About ${took(plan.estimated_ms)}`.replace('About under', 'Under') : 'Not known yet';
  return ['', 'clock', 'How long it takes', `${long}. You can close this page meanwhile.`];
}

// unreadable are the verdicts on a database that nothing can be compared with.
const unreadable = ['corrupt', 'not_a_database', 'empty', 'missing'];

// exactly lists what will be lost, as soon as it is known. Without it, the time says enough.
function exactly(plan, backup) {
  if (!plan.loses_since || unreadable.includes(store.status?.database.verdict)) return null;
  const list = el('ul', { class: 'losses', 'data-testid': 'losses' }, el('li', { class: 'muted' }, 'Comparing with the database as it is now…'));
  import('./losses.js').then(({ showLosses }) => showLosses(list, backup.id)).catch(() => list.remove());
  return list;
}

function facts(plan, backup) {
  return el('ul', { class: 'facts-list' }, [loses(plan), proof(backup), saves(plan), duration(plan)].map(([tone, sign, head, words], i) => el('li', { 'data-tone': tone },
    icon(sign), el('div', {}, el('p', { class: 'strong' }, head), el('p', {}, words), i === 0 && exactly(plan, backup)))));
}

// countdown keeps a line that says how long the plan holds. It speaks once, half a
// minute before the end; expired() is called when it is over.
export function countdown(dialog, plan, expired) {
  const line = el('p', { class: 'muted countdown' });
  const until = Date.parse(plan.expires_at);
  let spoken = false;
  const tick = () => {
    const left = Math.ceil((until - now()) / 1000);
    if (left <= 0) {
      clearInterval(timer);
      expired();
      return;
    }
    text(line, `This plan holds for ${span(left)} more.`);
    if (left <= 30 && !spoken) {
      spoken = true;
      say(`This plan holds for ${plural(left, 'more second', 'more seconds')}.`);
    }
  };
  const timer = setInterval(tick, 1000);
  dialog.addEventListener('close', () => clearInterval(timer));
  tick();
  return line;
}

// outdated turns a dialog into the explanation why it cannot go on.
export function outdated(dialog, close, explanation) {
  const button = el('button', { type: 'button', class: 'primary', 'data-testid': 'dialog-again', click: () => close(again) }, 'Start again');
  dialog.querySelector('.dialog-body').replaceChildren(
    el('p', { class: 'problem' }, icon('clock'), el('span', {}, explanation)),
    el('p', {}, 'Nothing was changed. Start again to see the present state.'));
  dialog.querySelector('.dialog-buttons').replaceChildren(dialog.querySelector('[data-testid="dialog-cancel"]'), button);
  dialog.querySelector('[data-testid="dialog-cancel"]').focus();
  say(`${explanation} Nothing was changed.`, true);
}

export const expiry = 'The plan has expired: it is good for two minutes, so that you do not act on an old state.';

function first(plan, backup, undo, opener) {
  const time = when(backup);
  const isPoint = names.isPoint(backup.id);
  return openDialog({
    id: 'dialog-restore-1',
    title: undo ? `Undo the restore and go back to ${time}?` : isPoint ? `Go back to ${time}?` : `Restore the backup of ${time}?`,
    opener,
    content: (close, dialog) => ({
      body: [
        el('p', { class: 'muted' }, isPoint ? `Recovery point ${backup.id} · ${utcExact(backup.created_at)}` : `${names.kind(backup)} backup · ${utc(backup.created_at)}`, backup.note ? [' · ', el('span', {}, excerpt(backup.note))] : ''),
        facts(plan, backup),
        countdown(dialog, plan, () => outdated(dialog, close, expiry)),
      ],
      buttons: el('button', { type: 'button', class: 'primary', 'data-testid': 'dialog-restore-1-continue', click: () => close(true) }, 'Continue…'),
    }),
  });
}

function second(plan, backup, undo, opener) {
  return openDialog({
    id: 'dialog-restore-2',
    title: 'Type the name of the database to confirm',
    tone: 'bad',
    opener,
    content: (close, dialog) => {
      const error = el('p', { class: 'problem', id: 'restore-error', role: 'alert', hidden: true });
      const field = el('input', { id: 'restore-name', 'data-testid': 'dialog-restore-2-name', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', 'aria-describedby': 'restore-error' });
      const button = el('button', { type: 'button', class: 'danger', 'data-testid': 'dialog-restore-2-confirm', disabled: true }, undo ? 'Undo the restore' : 'Restore now');
      field.addEventListener('input', () => {
        button.disabled = field.value !== plan.confirm;
        show(error, false);
        attr(field, 'aria-invalid', null);
      });
      const send = () => busy(button, async () => {
        try {
          const { operation } = await api.restore(backup.id, plan.token, field.value);
          close(operation);
        } catch (problem) {
          if (problem.status === 401) return;
          if (problem.code === 'stale') {
            outdated(dialog, close, `The plan is out of date: ${sentence(problem.message)}`);
            words(problem); // for the refresh that it starts
            return;
          }
          const shown = problem.code === 'wrong_name' ? { text: 'That is not the name of the database. Nothing was changed; type it again.' } : await words(problem);
          error.replaceChildren(icon('cross'), el('span', {}, [shown.text, shown.hint].filter(Boolean).join(' ')));
          show(error, true);
          attr(field, 'aria-invalid', 'true');
          field.focus();
        }
      });
      button.addEventListener('click', send);
      field.addEventListener('keydown', (event) => {
        if (event.key === 'Enter' && !button.disabled) send();
      });
      return {
        body: [
          el('p', {}, `The database goes back to how it was on ${when(backup)}.${cost(plan, backup)}`),
          el('label', { for: 'restore-name' }, 'Type ', el('strong', { class: 'code' }, plan.confirm), ' to confirm'),
          field, error,
          countdown(dialog, plan, () => outdated(dialog, close, expiry)),
        ],
        buttons: button,
      };
    },
  });
}

// restore leads through both dialogs. opener gets the focus back.
export async function restore(backup, opener) {
  await lead(() => api.planRestore(store.backups.get(backup.id) ?? backup), false, opener);
}

// undo does so for what the last restore replaced.
export async function undo(opener) {
  await lead(api.planUndo, true, opener);
}

async function lead(ask, undo, opener) {
  for (;;) {
    const answer = await attempt(ask);
    if (!answer) return;
    const { plan } = answer;
    if (plan.undo) { // rows were brought back, and only they are undone
      await (await later(import('./bringback.js')))?.undoRows(plan, ask, opener);
      return;
    }
    const subject = plan.backup;
    let step = await first(plan, subject, undo, opener);
    if (step === true) step = await second(plan, subject, undo, opener);
    if (step === again) continue;
    if (step) follow(step);
    return;
  }
}
