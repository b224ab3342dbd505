'use strict';
const actions = {
  log: () => console.log('hello'),
  throw: () => setTimeout(() => { throw new Error('thrown'); }),
  reject: () => { Promise.reject(new Error('rejected')); },
  missing: () => fetch('nowhere'),
  elsewhere: () => fetch('http://127.0.0.1:1/').catch(() => {}),
  inline: () => { const s = document.createElement('script'); s.textContent = '1'; document.body.append(s); },
  style: () => document.body.setAttribute('style', 'color: red'),
  alert: () => alert('stop'),
  break: () => {
    document.querySelector('label').replaceWith(document.querySelector('input'));
    document.querySelector('#text').className = 'pale';
  },
  shift: () => {
    const end = performance.now() + 120;
    while (performance.now() < end);
    setTimeout(() => document.querySelector('h1').append('. A heading of more words, on more lines: it shifts what follows'), 600);
    return new Promise(r => setTimeout(r, 700));
  },
};
document.addEventListener('click', async e => {
  const name = e.target.dataset.testid;
  if (!actions[name]) return;
  await actions[name]();
  setTimeout(() => setTimeout(() => { document.body.dataset.done = name; }, 50));
});
document.addEventListener('keydown', e => { document.body.dataset.key = e.key; });
