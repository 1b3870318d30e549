// What the page is made of: tables of what comes again, and columns with a number for each call, in the order in which
// the calls began.

const data = JSON.parse(document.getElementById('data').textContent);

/** In columns: none; and something, but not on this page, or not known. */
const NONE = -1;
const SOMETHING = -2;
const [RETURN, YIELD, RAISE, UNOBSERVED] = data.endings.keys();

const total = data.columns.id.length;
const columns = {
  id: Float64Array.from(data.columns.id),
  parent: Int32Array.from(data.columns.parent),
  time: Float64Array.from(data.columns.time),
  duration: Float64Array.from(data.columns.duration),
  weight: Float64Array.from(data.columns.weight),
  thread: Uint32Array.from(data.columns.thread),
  function: Uint32Array.from(data.columns.function),
  effect: Uint32Array.from(data.columns.effect),
  ending: Uint8Array.from(data.columns.ending),
  stack: Uint32Array.from(data.columns.stack),
  arguments: Uint32Array.from(data.columns.arguments),
  outcome: Uint32Array.from(data.columns.outcome),
  error: Int32Array.from(data.columns.error),
  touched: Int32Array.from(data.columns.touched),
  touchedToo: Int32Array.from(data.columns.touched_too),
  moved: Float64Array.from(data.columns.moved),
};
delete data.columns;

/** Groups of effects that are here: name, and what it is. */
const groups = [];
/** By effect: the place of its group. */
const groupOf = data.effects.map(({ group, doc }) => {
  const place = groups.findIndex(({ name }) => name === group);
  return place >= 0 ? place : groups.push({ name: group, doc }) - 1;
});

/** Calls inside of calls. A parent began before its child, so there are no circles, whatever a recording says. */
const depth = new Uint16Array(total);
const firstChild = new Int32Array(total).fill(NONE);
const nextSibling = new Int32Array(total).fill(NONE);
/** Time that is not that of a call inside. */
const selfTime = new Float64Array(total);
/** Whether what a call moved is part of what a call around it moved. */
const movedInside = new Uint8Array(total);
/** When the last call ended. */
let lastTime = 1;

for (let row = 0; row < total; row += 1) {
  const own = Math.max(columns.duration[row], 0);
  lastTime = Math.max(lastTime, columns.time[row] + own);
  selfTime[row] += own;
  const parent = columns.parent[row];
  if (parent >= row) columns.parent[row] = SOMETHING;
  if (parent < 0 || parent >= row) continue;
  depth[row] = Math.min(depth[parent] + 1, 65535);
  selfTime[parent] = Math.max(selfTime[parent] - own, 0);
  movedInside[row] = movedInside[parent] || columns.moved[parent] !== NONE ? 1 : 0;
}
for (let row = total - 1; row >= 0; row -= 1) {
  const parent = columns.parent[row];
  if (parent < 0) continue;
  nextSibling[row] = firstChild[parent];
  firstChild[parent] = row;
}

/** The innermost line of a call, or NONE. */
function lineOf(row) {
  const stack = data.stacks[columns.stack[row]];
  return stack.length ? stack[0] : NONE;
}

/** `Shop.save` with its arguments, as text. */
function callText(row) {
  return data.functions[columns.function[row]][1] + data.texts[columns.arguments[row]];
}

function outcomeText(row) {
  return data.texts[columns.outcome[row]];
}

function isError(row) {
  return columns.ending[row] === RAISE;
}

/** The first number below `length` whose time is that or later; times are in order. */
function search(length, timeOf, time) {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (timeOf(middle) < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Where, in some rows in order, those begin that began at that time or later. */
function firstAt(rows, time) {
  return search(rows.length, (n) => columns.time[rows[n]], time);
}
