// Bringing rows back in two steps: what would come back, by table, and what is in the way; then
// it is done, next to the running application.

import { complaint } from './actions.js';
import * as api from './api.js';
import { attr, busy, el, icon, text } from './dom.js';
import { openDialog } from './dialog.js';
import { count, exact, moment, plural } from './format.js';
import { notice, say } from './notices.js';
import { follow } from './operations.js';
import { attempt } from './problems.js';
import { again, countdown, expiry, outdated } from './restoring.js';
import { changeTable } from './rows.js';
import * as words from './words.js';

const shown = 50; // rows of the preview

// policies are what can become of rows that others are in the way of, in words.
const policies = {
  fail: ['Nothing is done', 'while a row is in the way.'],
  skip: ['They stay as they are now', 'and only the other rows come back.'],
  replace: ['They become what they were', 'and what they are now is replaced.'],
};

// taken counts the rows whose value of a UNIQUE index another row has: they cannot come back before that one goes.
const taken = (plan) => plan.conflicts.filter(({ index }) => index).length;

// comes is how many rows a policy brings back.
function comes(plan, policy) {
  if (plan.conflicting && policy === 'fail') return 0;
  return plan.inserted + (policy === 'replace' ? plan.conflicting - taken(plan) : 0);
}

// byTable lists what comes back.
function byTable(plan) {
  const [first, ...along] = plan.tables;
  const back = (n) => `${plural(n, 'row')} ${n === 1 ? 'comes' : 'come'} back`;
  return [
    first.inserted > 0 && el('li', {}, el('strong', {}, first.table), `: ${back(first.inserted)}`),
    along.filter(({ inserted }) => inserted > 0).map(({ table, inserted }) => el('li', {}, el('strong', {}, table), `: ${back(inserted)} with them`)),
  ];
}

// asides are what else a person should know before.
function asides(plan) {
  return [
    ['Triggers of the database run', plan.triggers],
    ['Columns that are new since get their defaults', plan.new_columns],
    ['Columns that are gone do not come back, nor what they held', plan.dropped_columns],
  ].filter(([, names]) => names.length > 0).map(([head, names]) => ['warn', 'info', head, [names.join(', ')]]);
}

const fact = ([tone, sign, head, ...body]) => el('li', { 'data-tone': tone }, icon(sign), el('div', { class: 'grow' }, el('p', { class: 'strong' }, head), body.flat()));

// inTheWay asks what is to become of rows that others are in the way of.
function inTheWay(plan, policy, choose) {
  const unique = taken(plan);
  const offered = Object.keys(policies).filter((name) => name !== 'replace' || unique < plan.conflicting);
  const rest = plan.conflicting - 3;
  const radio = (name) => {
    const input = el('input', { type: 'radio', name: 'policy', value: name, checked: name === policy, 'data-testid': `policy-${name}` });
    input.addEventListener('change', () => choose(name));
    return el('label', { class: 'check' }, input, el('span', {}, el('strong', {}, policies[name][0]), ` ${policies[name][1]}`));
  };
  return fact(['warn', 'warn', `${plural(plan.conflicting, 'row is', 'rows are')} different now, or another one has ${plan.conflicting === 1 ? 'its' : 'their'} place`,
    el('ul', { class: 'losses' }, plan.conflicts.slice(0, rest > 1 ? 3 : 4).map(({ what }) => el('li', {}, what)), rest > 1 && el('li', {}, `and ${count(rest)} more`)),
    el('fieldset', { class: 'policies' }, el('legend', {}, 'What is to become of them?'), offered.map(radio))]);
}

// preview shows a plan, and begins what was agreed to.
function preview(plan, replaces, opener) {
  const when = words.isPoint(plan.backup.id) ? exact : moment;
  return openDialog({
    id: 'dialog-rows',
    title: `Bring rows of ${plan.table} back?`,
    opener,
    content: (close, dialog) => {
      dialog.dataset.wide = '';
      let policy = replaces && taken(plan) === 0 ? 'replace' : 'fail';
      const error = complaint('rows-error');
      const button = el('button', { type: 'button', class: 'primary', 'data-testid': 'dialog-rows-confirm' });
      const rows = el('div', { class: 'preview' });
      const draw = () => {
        const n = comes(plan, policy);
        text(button, n ? `Bring ${plural(n, 'row')} back` : 'Bring back');
        attr(button, 'aria-disabled', n === 0);
        const changed = policy === 'replace' ? ['Becomes', 'warn'] : ['Stays', ''];
        const table = changeTable(`Rows of ${plan.table} that come back`, { words: { insert: ['Comes back', 'ok'], update: changed } });
        table.show(plan.changes.slice(0, shown));
        rows.replaceChildren(table.node);
      };
      const send = () => busy(button, async () => {
        if (comes(plan, policy) === 0) {
          say('Nothing would come back. Choose what is to become of the rows that are in the way.');
          return;
        }
        try {
          close((await api.restoreRows(plan.backup.id, plan.token, policy)).operation);
        } catch (problem) {
          if (problem.code === 'stale') outdated(dialog, close, expiry);
          else error.report(problem);
        }
      });
      button.addEventListener('click', send);
      draw();
      const all = plan.tables[0].inserted + plan.conflicting;
      const list = byTable(plan);
      return {
        body: [
          el('p', { class: 'muted' }, `As they were in the ${words.isPoint(plan.backup.id) ? 'state' : 'backup'} of ${when(plan.backup.created_at)}, next to the running application.`),
          el('ul', { class: 'facts-list' },
            plan.inserted > 0 && fact(['ok', 'undo', 'What comes back', el('ul', { class: 'losses' }, list)]),
            plan.conflicting > 0 && inTheWay(plan, policy, (name) => { policy = name; draw(); }),
            asides(plan).map(([tone, sign, head, names]) => fact([tone, sign, head, el('p', {}, names)])),
            fact(['ok', 'check', 'Everything else stays', el('p', {}, 'All other rows, and whatever is committed meanwhile. The present state is saved first: this can be undone.')])),
          plan.changes.length > 0 && el('p', { class: 'small muted rows-title' }, all > shown || plan.changes.length > shown ? `The first ${shown} of ${plural(all, 'row')} of ${plan.table}` : `Rows of ${plan.table}`),
          plan.changes.length > 0 && rows,
          error.node,
          countdown(dialog, plan, () => outdated(dialog, close, expiry)),
        ],
        buttons: button,
      };
    },
  });
}

// bringBack leads through it. chosen is what the server takes, replaces says that rows which are different now are
// wanted as they were. opener gets the focus back.
export async function bringBack(id, chosen, replaces, opener) {
  for (;;) {
    const answer = await attempt(() => api.planRows(id, chosen));
    if (!answer) return;
    const { plan } = answer;
    if (plan.rows === 0) {
      notice('There is nothing to bring back: all of these rows are as they were');
      return;
    }
    const step = await preview(plan, replaces, opener);
    if (step === again) continue;
    if (step) follow(step);
    return;
  }
}
