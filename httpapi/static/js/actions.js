// What can be done with one backup, apart from restoring it.

import * as api from './api.js';
import { attr, busy, el, icon, show } from './dom.js';
import { openDialog } from './dialog.js';
import { bytes, excerpt, label, moment } from './format.js';
import { failed } from './live.js';
import { notice } from './notices.js';
import { follow } from './operations.js';
import { attempt, words } from './problems.js';
import { knowChanged, publish, refresh } from './store.js';
import * as names from './words.js';

const longestNote = 4096; // bytes, the server's limit

async function operate(request) {
  const answer = await attempt(request);
  if (answer) follow(answer.operation);
  return Boolean(answer);
}

export const verify = (b) => operate(() => api.verify(b));
export const drill = (b) => operate(() => api.drill(b));
export const check = () => operate(() => api.check());
export const sync = (name) => operate(() => api.syncRemote(name));
export const create = (note, pin) => operate(() => api.create(note, pin));

async function pinned(b, value) {
  const changed = await attempt(() => api.change(b, { pinned: value }));
  if (!changed) return;
  knowChanged(changed);
  publish();
  notice(value ? `The backup of ${label(b.created_at)} is pinned: it is kept until you unpin it.` : `The backup of ${label(b.created_at)} is not pinned any more.`);
  refresh().catch(failed);
}

export const pin = (b) => pinned(b, true);
export const unpin = (b) => pinned(b, false);

export function download(b) {
  const link = el('a', { href: api.downloadURL(b.id), download: b.file });
  document.body.append(link);
  link.click();
  link.remove();
}

export function complaint(id) {
  const node = el('p', { class: 'problem', id, role: 'alert', hidden: true });
  const report = async (problem) => {
    if (problem.status === 401) return;
    const shown = await words(problem);
    node.replaceChildren(icon('cross'), el('span', {}, [shown.text, shown.hint].filter(Boolean).join(' ')));
    show(node, true);
  };
  return { node, report };
}

export async function note(b, opener) {
  const changed = await openDialog({
    id: 'dialog-note',
    title: `Note for the backup of ${moment(b.created_at)}`,
    opener,
    content: (close) => {
      const error = complaint('note-error');
      const field = el('textarea', { id: 'note-field', 'data-testid': 'dialog-note-text', 'data-first': true, rows: 4, 'aria-describedby': 'note-error' });
      field.value = b.note;
      const button = el('button', { type: 'button', class: 'primary', 'data-testid': 'dialog-note-save' }, 'Save note');
      button.addEventListener('click', () => busy(button, async () => {
        if (new TextEncoder().encode(field.value).length > longestNote) {
          error.report(new api.Problem(422, { detail: 'The note is too long: at most 4,000 characters fit.' }));
          return;
        }
        try {
          close(await api.change(b, { note: field.value.trim() }));
        } catch (problem) {
          error.report(problem);
        }
      }));
      return { body: [el('label', { for: 'note-field' }, 'What is this backup for?'), field, error.node], buttons: button };
    },
  });
  if (!changed) return;
  knowChanged(changed);
  publish();
  refresh().catch(failed);
}

export async function remove(b, opener) {
  const gone = await openDialog({
    id: 'dialog-delete',
    title: `Delete the backup of ${moment(b.created_at)}?`,
    tone: 'bad',
    opener,
    content: (close) => {
      const error = complaint('delete-error');
      const button = el('button', { type: 'button', class: 'danger', 'data-testid': 'dialog-delete-confirm' }, 'Delete for good');
      button.addEventListener('click', () => busy(button, async () => {
        attr(error.node, 'hidden', true);
        try {
          await api.remove(b);
          close(true);
        } catch (problem) {
          error.report(problem);
        }
      }));
      return {
        body: [
          el('p', {}, `${names.kind(b)} backup, ${bytes(b.archive_bytes)}`, b.note ? [', “', el('span', {}, excerpt(b.note)), '”'] : '', '.'),
          el('p', {}, 'It is removed for good: this cannot be undone, and the database can never again be put back to that time from it.'),
          error.node,
        ],
        buttons: button,
      };
    },
  });
  if (!gone) return;
  notice(`The backup of ${label(b.created_at)} is deleted.`);
  await refresh().catch(failed);
}
