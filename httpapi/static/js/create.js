// The form for a backup by hand.

import * as actions from './actions.js';
import { busy, byId } from './dom.js';

export function startCreate() {
  const form = byId('create-form');
  const button = byId('create-submit');
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    busy(button, async () => {
      const started = await actions.create(byId('create-note').value.trim(), byId('create-pin').checked);
      if (started) form.reset();
    });
  });
}
