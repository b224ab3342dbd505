// Restoring, whose dialogs are loaded when they are asked for. opener gets the focus back.

import { later } from './notices.js';

const part = () => later(import('./restoring.js'));

export const restore = async (backup, opener) => (await part())?.restore(backup, opener);

// undo restores what the last restore replaced.
export const undo = async (opener) => (await part())?.undo(opener);
