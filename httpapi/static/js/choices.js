// What a user may do with a backup, in the order in which it is offered.

import * as actions from './actions.js';
import { restore } from './restore.js';
import { may, store } from './store.js';

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
