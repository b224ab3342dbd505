// The drawing of the time axis: how much was committed when, what was captured as one, and
// what going back to the chosen moment would lose. It is drawn at its real width, so that
// nothing in it is stretched.

import { attr, svg } from './dom.js';
import { axisDay, hhmm, hhmmss } from './format.js';

export const tall = 104;
const top = 20; // of the bars; the label of the chosen moment is above
const floor = 80;
const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

// scales are the spans that the axis can show. step is an arrow key's, leap PageUp's; marks are
// the distances between labels: the first with room is taken.
export const scales = {
  hour: { span: hour, step: 15_000, leap: 5 * minute, marks: [5 * minute, 10 * minute, 20 * minute, 30 * minute] },
  days: { span: 48 * hour, step: 10 * minute, leap: 2 * hour, marks: [3 * hour, 6 * hour, 12 * hour, 24 * hour] },
  month: { span: 30 * day, step: 3 * hour, leap: day, marks: [day, 2 * day, 5 * day, 10 * day] },
};

// rangeOf is the part of time that a scale shows: up to now, or around the chosen moment where
// that would be too coarse to choose in.
export function rangeOf(scale, chosen, now) {
  const { span: long } = scales[scale];
  const to = scale === 'hour' && chosen !== null ? Math.min(now, chosen + long / 2) : now;
  return { from: to - long, to };
}

// firstMark is the first reading of a round local time after from.
function firstMark(from, every) {
  const at = new Date(from);
  at.setHours(every < hour ? at.getHours() : 0, 0, 0, 0);
  return at;
}

// next is the mark after at. Days are counted by the calendar: one of them has 23 hours.
function next(at, every) {
  const then = new Date(at);
  if (every >= day) then.setDate(then.getDate() + every / day);
  else then.setTime(then.getTime() + every);
  return then;
}

function marks({ from, to }, scale, width) {
  const room = 64; // px for a label
  const choices = scales[scale].marks;
  const every = choices.find((one) => (width * one) / (to - from) >= room) ?? choices.at(-1);
  const found = [];
  for (let at = firstMark(from, every); at.getTime() <= to; at = next(at, every)) {
    if (at.getTime() < from) continue;
    const midnight = at.getHours() === 0 && at.getMinutes() === 0;
    found.push({ at: at.getTime(), words: midnight && scale !== 'hour' ? axisDay(at) : hhmm(at), midnight });
  }
  return found;
}

// anchor keeps a label inside of the drawing.
const anchor = (x, width, room) => (x < room ? 'start' : x > width - room ? 'end' : 'middle');

function drawMarks({ range, scale, width }, x) {
  return marks(range, scale, width).flatMap(({ at, words, midnight }) => {
    const where = x(at);
    return [
      svg('path', { class: midnight ? 'mark-line midnight' : 'mark-line', d: `M${where} ${midnight ? top : floor}V${floor + 6}` }),
      svg('text', { class: 'mark-words', x: where, y: tall - 5, 'text-anchor': anchor(where, width, 24) }, words),
    ];
  });
}

// bars, in two colours for what stays and what is lost, are high by the logarithm of what was committed: one commit is seen next to thousands.
// Commits that were not counted, because they were captured together, are at least one each.
function bars({ commits, points, from, to }, before, x) {
  const amounts = points.map((n, i) => Math.max(n, commits[i]));
  const most = Math.log1p(Math.max(1, ...amounts));
  const each = (Date.parse(to) - Date.parse(from)) / Math.max(1, points.length);
  const shapes = { bars: '', 'bars lost': '' };
  amounts.forEach((n, i) => {
    if (n === 0) return;
    const begin = Date.parse(from) + i * each;
    const left = x(begin);
    const wide = Math.max(1, x(begin + each) - left - 0.5).toFixed(1);
    const high = (5 + (floor - top - 5) * (Math.log1p(n) / most)).toFixed(1);
    shapes[before !== null && begin + each > before ? 'bars lost' : 'bars'] += `M${left.toFixed(1)} ${floor}v${-high}h${wide}v${high}z`;
  });
  return Object.entries(shapes).map(([name, d]) => svg('path', { class: name, d }));
}

function drawGaps(gaps, range, x) {
  return gaps.map((gap) => [Math.max(range.from, Date.parse(gap.from)), Math.min(range.to, Date.parse(gap.to))])
    .filter(([from, to]) => to > from)
    .map(([from, to]) => svg('rect', { class: 'gap', x: x(from), y: top, width: Math.max(2, x(to) - x(from)), height: floor - top }));
}

function drawBackups(backups, range, x) {
  return backups.filter((at) => at >= range.from && at <= range.to)
    .map((at) => svg('path', { class: 'backup-mark', d: `M${x(at)} ${floor - 5}l4 5-4 5-4-5z` }));
}

function drawChosen({ chosen, range, width }, x) {
  if (chosen === null || chosen < range.from) return [];
  const where = x(chosen);
  return [
    svg('path', { class: 'chosen', d: `M${where} ${top - 4}V${floor + 6}` }),
    svg('circle', { class: 'chosen-knob', cx: where, cy: floor + 1, r: 6 }),
    svg('text', { class: 'chosen-words', x: where, y: top - 7, 'text-anchor': anchor(where, width, 40) }, hhmmss(chosen)),
  ];
}

// place gives the functions between times and pixels.
export function place(range, width) {
  return {
    x: (at) => Number((((at - range.from) / (range.to - range.from)) * width).toFixed(1)),
    time: (x) => range.from + (Math.min(width, Math.max(0, x)) / width) * (range.to - range.from),
  };
}

// draw shows a view {range, scale, width, density, backups, chosen, before} in an svg element.
export function draw(node, view) {
  const { x } = place(view.range, view.width);
  attr(node, 'viewBox', `0 0 ${view.width} ${tall}`);
  node.replaceChildren(
    ...drawGaps(view.density?.gaps ?? [], view.range, x),
    ...drawMarks(view, x),
    svg('path', { class: 'floor', d: `M0 ${floor}H${view.width}` }),
    ...(view.density ? bars(view.density, view.before, x) : []),
    ...drawBackups(view.backups, view.range, x),
    ...drawChosen(view, x),
  );
}

// drawHover shows the time at x; null: none.
export function drawHover(node, range, width, x) {
  node.querySelector('.hover-words')?.remove();
  if (x === null) return;
  const words = hhmmss(place(range, width).time(x));
  node.append(svg('text', { class: 'hover-words', x, y: top - 7, 'text-anchor': anchor(x, width, 40) }, words));
}
