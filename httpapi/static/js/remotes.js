// The tile about the places off this machine: where copies are, how old, encrypted for whom, and
// how they are proven. Without such a place, it says what that means.

import * as actions from './actions.js';
import { arrange, attr, busy, byId, el, icon, show, text, useIcon } from './dom.js';
import { brief, bytes, count, plural, relative, sentence, span, utc } from './format.js';
import { may, store, subscribe } from './store.js';

const rows = new Map(); // name -> {node, update}

const states = {
  __proto__: null,
  current: ['ok', 'check', 'Everything is there'],
  sending: ['ok', 'clock', 'Sending'],
  failing: ['warn', 'warn', 'Cannot be reached or used'],
  behind: ['bad', 'cross', 'Behind'],
  stopped: ['bad', 'cross', 'Nothing is sent any more'],
};

// whereOf is the place in few words. The server shows no secrets in an address; the parameters are for its title.
function whereOf(address) {
  try {
    const url = new URL(address);
    const path = decodeURIComponent(url.pathname);
    const endpoint = url.searchParams.get('endpoint');
    if (url.protocol === 'file:') return path;
    if (url.protocol === 's3:') return `${url.host}${path} at ${endpoint ? new URL(endpoint).host : 'Amazon S3'}`;
    return `${url.host}${path}`;
  } catch {
    return address;
  }
}

// brevity of a public key: its kind, and enough to distinguish it from others.
function key(recipient) {
  return recipient.length > 24 ? `${recipient.slice(0, 10)}…${recipient.slice(-6)}` : recipient;
}

function newest(r) {
  if (!r.newest_at) return ['None yet', 'nothing could be restored from there', '', 'bad'];
  const late = r.state === 'behind' || r.state === 'stopped';
  const waits = r.pending_bytes > 0 ? `${bytes(r.pending_bytes)} to send` : `the state of ${brief(r.newest_at)}`;
  return [sentence(relative(r.newest_at)).replace(/\.$/, ''), waits, utc(r.newest_at), late ? 'bad' : null];
}

function stored(r) {
  const damaged = r.damaged > 0;
  return [bytes(r.bytes), damaged ? `${plural(r.damaged, 'object is', 'objects are')} not what was stored` : plural(r.backups, 'backup'), `${count(r.bytes)} bytes`, damaged ? 'bad' : null];
}

function encrypted(r) {
  if (!r.encrypted) return ['Not encrypted', 'who owns the place can read it', '', 'warn'];
  const keys = r.recipients ?? [];
  if (!keys.length) return ['Yes', 'once something is sent', ''];
  return [`For ${plural(keys.length, 'key')}`, keys.map(key).slice(0, 2).join(', ') + (keys.length > 2 ? ', …' : ''), keys.join('\n')];
}

function proven(r) {
  if (r.proof === 'read_back') return ['Read back', `and compared ${brief(r.proven_at)}`, utc(r.proven_at)];
  if (r.proof === 'stored') return ['Stored', `as the place confirmed ${brief(r.proven_at)}`, utc(r.proven_at)];
  return ['Not yet', 'there is no copy', ''];
}

// trouble is what is wrong, in words, and since when.
function trouble(r) {
  if (r.error) return `${r.error_since ? `Since ${brief(r.error_since)} (${relative(r.error_since)}): ` : ''}${sentence(r.error)}`;
  if (r.state !== 'behind') return '';
  return `${r.newest_at ? `Something newer has waited for ${span(r.lag_seconds)}` : 'No copy came'}; ${span(r.period_seconds)} at most are promised.`;
}

function makeFact(term) {
  const value = el('dd', {});
  const detail = el('dd', {});
  const node = el('div', {}, el('dt', {}, term), value, detail);
  const update = ([word, more, title, tone]) => {
    text(value, word);
    text(detail, more);
    attr(node, 'title', title || null);
    attr(node, 'data-tone', tone);
  };
  return { node, update };
}

function makeRow(name) {
  const sign = icon('check');
  const state = el('strong', {});
  const where = el('span', { class: 'muted' });
  const facts = [['Newest copy', newest], ['Stored there', stored], ['Encrypted', encrypted], ['Proven', proven]].map(([term, of]) => ({ of, ...makeFact(term) }));
  const problem = el('p', { class: 'remote-problem' });
  const button = el('button', { type: 'button', 'data-testid': `sync-${name}` }, 'Send now', el('span', { class: 'hidden' }, ` to ${name}`));
  button.addEventListener('click', () => busy(button, () => actions.sync(name)));
  const node = el('li', { class: 'remote', 'data-testid': `remote-${name}` },
    el('div', { class: 'remote-head' }, sign, el('h3', { class: 'grow' }, name, ' ', where), state, button),
    el('dl', { class: 'remote-facts' }, facts.map((f) => f.node)), problem);
  const update = (r) => {
    const [tone, shape, words] = states[r.state] ?? ['warn', 'warn', sentence(r.state)];
    attr(node, 'data-tone', tone);
    useIcon(sign, shape);
    text(state, words);
    text(where, whereOf(r.url));
    attr(where, 'title', r.url);
    for (const f of facts) f.update(f.of(r));
    const wrong = trouble(r);
    text(problem, wrong);
    show(problem, Boolean(wrong));
    show(button, may('create'));
  };
  return { node, update };
}

function render() {
  const all = store.status?.remotes;
  if (!all) return;
  attr(byId('remotes'), 'data-tone', all.length ? null : 'warn');
  show(byId('remotes-none'), !all.length);
  for (const r of all) {
    if (!rows.has(r.name)) rows.set(r.name, makeRow(r.name));
    rows.get(r.name).update(r);
  }
  for (const name of rows.keys()) if (!all.some((r) => r.name === name)) rows.delete(name);
  arrange(byId('remotes-list'), all.map((r) => rows.get(r.name).node));
}

export function startRemotes() {
  subscribe(render);
}
