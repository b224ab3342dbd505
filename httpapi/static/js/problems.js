// The messages for a person when the server refuses, and the next step.

import { hhmm, sentence } from './format.js';
import { failed } from './live.js';
import { notice } from './notices.js';
import { describe, follow, runningOperation } from './operations.js';
import * as api from './api.js';
import { refresh } from './store.js';

async function running(id) {
  if (id) {
    try {
      const { operation } = await api.operation(id);
      follow(operation);
      return operation;
    } catch {
      // It may have ended just now; the knowledge here has to do.
    }
  }
  return runningOperation();
}

async function busyWords(problem) {
  const operation = await running(problem.operation);
  if (!operation) return sentence(problem.message);
  return `Something else is running: ${describe(operation)}, since ${hhmm(operation.started_at)}. Wait for it to end, or cancel it.`;
}

// words returns {text, hint, tone} for a problem, and starts the refresh that a
// page which acted on old knowledge needs.
export async function words(problem) {
  switch (problem.code) {
    case 'stale':
      refresh().catch(failed);
      return { text: 'This had changed meanwhile, so nothing was done. Here is the present state.', hint: sentence(problem.hint), tone: 'warn' };
    case 'not_found':
      refresh().catch(failed);
      return { text: 'This is not there any more. Here is the present state.', hint: '', tone: 'warn' };
    case 'busy':
      return { text: await busyWords(problem), hint: '', tone: 'warn' };
    case 'forbidden':
      return { text: 'You are not allowed to do this.', hint: sentence(problem.hint), tone: 'error' };
    case 'unreachable':
      failed();
      return { text: problem.message, hint: 'Nothing is known to have happened. The page tries again by itself.', tone: 'error' };
    default:
      return { text: sentence(problem.message), hint: sentence(problem.hint), tone: 'error' };
  }
}

// attempt runs an action and shows what went wrong. It returns what the action
// returned, or undefined after a problem. A 401 is dealt with by the login.
export async function attempt(action) {
  try {
    return await action();
  } catch (problem) {
    if (!(problem instanceof api.Problem)) throw problem;
    if (problem.status !== 401) {
      const { text, hint, tone } = await words(problem);
      notice(text, { hint, tone });
    }
    return undefined;
  }
}
