// Bringing rows back in two steps: what would come back, by table, and what is in the way; then
// it is done, next to the running application.

import { complaint } from './actions.js';
import * as api from './api.js';
import { attr, busy, el, icon, text } from './dom.js';
import { openDialog } from './dialog.js';
import { count, exact, moment, named, plural } from './format.js';
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
  skip: ['They stay as they are now', 'and only the other rows are changed.'],
  replace: ['They become what they were', 'and what they are now is replaced.'],
};

// taken counts the rows whose value of a UNIQUE index another row has: they cannot come back before that one goes.
const taken = (plan) => plan.conflicts.filter(({ index }) => index).length;

// comes is how many rows a policy brings back.
function comes(plan, policy) {
  if (plan.conflicting && policy === 'fail') return 0;
  return plan.inserted + plan.replaced + plan.removed + (policy === 'replace' ? plan.conflicting - taken(plan) : 0);
}

// byTable lists what is done to which rows; an undo takes rows away, too.
function byTable(plan) {
  return plan.tables.map(({ table, inserted, replaced, removed }, i) => {
    const along = i > 0 && !plan.undo ? ' with them' : '';
    const parts = [
      inserted && `${plural(inserted, 'row')} ${inserted === 1 ? 'comes' : 'come'} back${along}`,
      replaced && `${plural(replaced, 'row')} ${replaced === 1 ? 'becomes what it was' : 'become what they were'}`,
      removed && `${plural(removed, 'row')} ${removed === 1 ? 'is' : 'are'} removed again`,
    ].filter(Boolean);
    return parts.length > 0 && el('li', {}, el('strong', {}, table), `: ${parts.join(', ')}`);
  });
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
  const head = plan.undo ? `${plural(plan.conflicting, 'row')} changed since` : unique === 0 ? `${plural(plan.conflicting, 'row is', 'rows are')} different now`
    : `Other rows are in the way of ${count(plan.conflicting)}`;
  return fact(['warn', 'warn', head,
    el('ul', { class: 'losses' }, plan.conflicts.slice(0, rest > 1 ? 3 : 4).map(({ what }) => el('li', {}, what)), rest > 1 && el('li', {}, `and ${count(rest)} more`)),
    el('fieldset', { class: 'policies' }, el('legend', {}, 'What is to become of them?'), offered.map(radio))]);
}

// said is what the dialog says: of rows that come back, or of an undo of that.
function said(plan) {
  const time = (words.isPoint(plan.backup.id) ? exact : moment)(plan.backup.created_at);
  if (plan.undo) {
    return {
      title: 'Undo what came back?',
      about: `Only rows that came back are changed, to what they were on ${time}.`,
      head: 'What is undone',
      stays: 'All other rows, and whatever was committed since. The present state is saved first: this can be undone in its turn.',
      press: (n) => (n ? `Undo ${plural(n, 'row')}` : 'Undo'),
    };
  }
  return {
    title: `Bring rows of ${named(plan.table)} back?`,
    about: `As they were in the ${words.isPoint(plan.backup.id) ? 'state' : 'backup'} of ${time}, next to the running application.`,
    head: 'What comes back',
    stays: 'All other rows, and whatever is committed meanwhile. The present state is saved first: this can be undone.',
    press: (n) => (n ? `Bring ${plural(n, 'row')} back` : 'Bring back'),
  };
}

// preview shows a plan, and begins what was agreed to.
function preview(plan, replaces, opener) {
  const { title, about, head, stays, press } = said(plan);
  return openDialog({
    id: 'dialog-rows',
    title,
    opener,
    content: (close, dialog) => {
      dialog.dataset.wide = '';
      let policy = replaces && taken(plan) === 0 ? 'replace' : 'fail';
      const error = complaint('rows-error');
      const button = el('button', { type: 'button', class: 'primary', 'data-testid': 'dialog-rows-confirm' });
      const rows = el('div', { class: 'preview' });
      const draw = () => {
        const n = comes(plan, policy);
        text(button, press(n));
        attr(button, 'aria-disabled', n === 0);
        const stays = plan.replaced === 0 && policy !== 'replace'; // those that are different are all in the way
        const changed = stays ? ['Stays', ''] : ['Becomes', 'warn'];
        const table = changeTable(`Rows of ${plan.table}`, { words: { insert: ['Comes back', 'ok'], update: changed, delete: ['Goes', 'bad'] } });
        table.show(plan.changes.slice(0, shown));
        rows.replaceChildren(table.node);
      };
      const send = () => busy(button, async () => {
        if (comes(plan, policy) === 0) {
          say('Nothing would be done. Choose what is to become of the rows that are in the way.');
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
      const list = byTable(plan).filter(Boolean);
      return {
        body: [
          el('p', { class: 'muted' }, about),
          el('ul', { class: 'facts-list' },
            list.length > 0 && fact(['ok', 'undo', head, el('ul', { class: 'losses' }, list)]),
            plan.conflicting > 0 && inTheWay(plan, policy, (name) => { policy = name; draw(); }),
            asides(plan).map(([tone, sign, head, names]) => fact([tone, sign, head, el('p', {}, names)])),
            fact(['ok', 'check', 'Everything else stays', el('p', {}, stays)])),
          plan.changes.length > 0 && el('p', { class: 'small muted rows-title' }, plan.changes.length > shown ? `The first ${shown} rows of ${named(plan.table)}` : `Rows of ${named(plan.table)}`),
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
  await lead(() => api.planRows(id, chosen), replaces, opener);
}

// undoRows leads through the undo of that, from the plan on that ask returned.
export const undoRows = (plan, ask, opener) => lead(ask, false, opener, plan);

// plainly has hints use the words of the page.
async function plainly(ask) {
  try {
    return await ask();
  } catch (problem) {
    problem.hint = words.aboutRows(problem.hint);
    throw problem;
  }
}

async function lead(ask, replaces, opener, first) {
  for (let known = first; ; known = undefined) {
    const plan = known ?? (await attempt(() => plainly(ask)))?.plan;
    if (!plan) return;
    if (plan.rows === 0) {
      notice('There is nothing to be done: all of these rows are as they were');
      return;
    }
    const step = await preview(plan, replaces, opener);
    if (step === again) continue;
    if (step) follow(step);
    return;
  }
}
